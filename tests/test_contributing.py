"""The tree in CONTRIBUTING.md names the files that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.test_layers import ROOMS

ROOT = Path(__file__).parent.parent
PACKAGE = "flask_kavach_stripe"


class Line(NamedTuple):
    """A line of the tree."""

    #: From the project's root; that of a folder ends with a slash.
    path: str
    description: str


def block(heading: str) -> list[str]:
    """The lines of the first block of text below a heading."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    found = re.search(rf"^## {heading}\n.*?^```text\n(.*?)\n```$", text, re.M | re.S)
    assert found is not None
    return found[1].split("\n")


def tree() -> list[Line]:
    """The lines of the tree, each indented by four spaces more than its folder."""
    lines: list[Line] = []
    folders: list[str] = []

    for text in block("The tree"):
        name, _, description = text.strip().partition(" ")
        depth = (len(text) - len(text.lstrip())) // 4
        del folders[depth:]
        lines.append(Line("".join([*folders, name]), description.strip()))

        if name.endswith("/"):
            folders.append(name)

    return lines


def test_tree_names_only_what_exists() -> None:
    paths = [line.path for line in tree()]

    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [
        path for path in paths if (ROOT / path).is_dir() != path.endswith("/")
    ] == []
    assert len(set(paths)) == len(paths)


def test_tree_names_every_file() -> None:
    """A folder's line stands for its ``__init__.py``."""
    lines = tree()
    named = {line.path for line in lines}
    named |= {f"{path}__init__.py" for path in named if path.endswith("/")}
    files = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / PACKAGE).rglob("*.py")
    }

    unnamed = sorted(files - named)

    assert [path for path in unnamed if f"{PACKAGE}/sandbox/" not in path] == []
    assert [line.path for line in lines[1:] if not line.description] == []


def test_direction_is_that_of_the_test() -> None:
    lines = [tuple(line.split(", ")) for line in block("The direction of imports")]

    assert tuple(lines) == ROOMS
