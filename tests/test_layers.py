"""The direction of imports: a module knows only what lies below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

NAME = "flask_kavach_stripe"
PACKAGE = Path(__file__).parent.parent / NAME

#: A module imports from lower numbers only. A folder is one layer: its modules may
#: import each other.
LAYERS = {
    "errors": 0,
    "objects": 0,
    "client": 1,
    "fields": 1,
    "models": 1,
    "signatures": 1,
    "subscriptions": 1,
    "transactions": 1,
    "webhooks": 1,
    "config": 2,
    "writes": 2,
    "accounts": 4,
    "ledger": 3,
    "origins": 3,
    "state": 5,
    "pruning": 6,
    "running": 6,
    "storing": 6,
    "customers": 7,
    "handlers": 7,
    "billing": 8,
    "endpoints": 8,
    "processing": 8,
    "sessions": 8,
    "backlog": 9,
    "catching_up": 9,
    "doctor": 9,
    "guards": 9,
    "repairs": 9,
    "purchases": 9,
    "testing": 9,
    "trigger": 10,
    "views": 10,
    "cli": 11,
    "extension": 12,
    "sandbox": 3,
    "__init__": 13,
}

#: The local Stripe is no part of an app: it sees bytes and objects, not the extension.
#: It stands below what connects the two for tests.
ONLY = {"sandbox": {"sandbox", "signatures", "objects"}}


def layer_name(path: Path) -> str:
    """The key of a module in ``LAYERS``: its file, or the folder that it is in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def own_imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The names that a module imports from our package, in their absolute form.

    :param package: The package that a relative import starts from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""

            if node.level:
                start = package.split(".")[: -node.level + 1 or None]
                base = ".".join(start + ([node.module] if node.module else []))

            # ``from . import config`` and ``from .config import Settings``
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue

        yield from (name for name in names if name.split(".")[0] == NAME)


def imported_layers(path: Path) -> Iterator[str]:
    package = ".".join((NAME, *path.relative_to(PACKAGE).parent.parts))

    for name in own_imports(ast.parse(path.read_text("utf-8")), package):
        parts = name.split(".")
        yield parts[1] if len(parts) > 1 and parts[1] in LAYERS else "__init__"


MODULES = [
    pytest.param(path, id=path.relative_to(PACKAGE).as_posix())
    for path in sorted(PACKAGE.rglob("*.py"))
]


@pytest.mark.parametrize("path", MODULES)
def test_every_module_has_a_layer(path: Path) -> None:
    assert layer_name(path) in LAYERS


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_down(path: Path) -> None:
    own = layer_name(path)
    allowed = ONLY.get(own) or {
        name for name, layer in LAYERS.items() if layer < LAYERS[own] or name == own
    }
    # A module of one file has nothing to import from itself.
    allowed = allowed - {own} if path.parent == PACKAGE else allowed

    assert set(imported_layers(path)) <= allowed


@pytest.mark.parametrize("path", MODULES)
def test_imports_stand_at_the_top(path: Path) -> None:
    """Also an import in a function would be a way around the layers."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    hidden = [
        ast.unparse(node)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Name) and node.id == "__import__")
        or (isinstance(node, ast.Attribute) and node.attr == "import_module")
    ]

    assert hidden == []


@pytest.mark.parametrize(
    ("source", "package", "names"),
    [
        ("from .config import Price", NAME, [f"{NAME}.config.Price"]),
        ("from . import config", NAME, [f"{NAME}.config"]),
        ("from ..config import Price", f"{NAME}.testing", [f"{NAME}.config.Price"]),
        ("from .. import config", f"{NAME}.testing", [f"{NAME}.config"]),
        ("from . import samples", f"{NAME}.testing", [f"{NAME}.testing.samples"]),
        (f"import {NAME}.config as c", NAME, [f"{NAME}.config"]),
        (f"from {NAME} import config", NAME, [f"{NAME}.config"]),
        (f"from {NAME}.config import Price", NAME, [f"{NAME}.config.Price"]),
        (f"if TYPE_CHECKING:\n import {NAME}", NAME, [NAME]),
        (f"import flask, {NAME}_other, config", NAME, []),
    ],
)
def test_every_form_of_import_is_seen(
    source: str, package: str, names: list[str]
) -> None:
    assert list(own_imports(ast.parse(source), package)) == names
