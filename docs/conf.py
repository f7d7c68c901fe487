"""Settings of Sphinx. Build with ``sphinx-build -E -W docs docs/_build``."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx

project = "Flask-Kavach-Stripe"
author = "The Flask-Kavach-Stripe authors"
copyright = "2026, the Flask-Kavach-Stripe authors"
release = importlib.metadata.version(project)
version = ".".join(release.split(".")[:2])

extensions = ["sphinx.ext.autodoc"]
default_role = "code"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"
html_show_sourcelink = False
pygments_dark_style = "github-dark"

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True

# A reference to a name of ours that does not exist is an error. The names of other
# projects are not looked up: the documentation builds without a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!flask_kavach_stripe|STRIPE_).*"),
    (r"py:class", r"flask_kavach_stripe\.\w+\.[A-Z]"),  # type variables
    (r"py:class", r"flask_kavach_stripe\.sentinels\.Default"),  # an argument left out
]
# An annotation's builtin `type` looks like the attribute of that name of some classes.
suppress_warnings = ["ref.python"]


def issue_role(
    name: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: Inliner,
    options: Mapping[str, Any] | None = None,
    content: Sequence[str] = (),
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """``:issue:`12``` is written as #12."""
    return [nodes.inline(rawtext, f"#{text}", classes=["issue"])], []


def setup(app: Sphinx) -> None:
    app.add_role("issue", issue_role)
