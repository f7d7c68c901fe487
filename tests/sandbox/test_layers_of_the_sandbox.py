"""The direction of imports inside the sandbox: each part knows what lies below it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "flask_kavach_stripe"
SANDBOX = PACKAGE / "sandbox"

#: From the top to the bottom: folders, and modules that are in none.
LAYERS = (
    "__init__",
    "terminal",
    "local_stripe",
    "pages",
    "web",
    "account",
    "timeline",
    "rendering",
    "hosted",
    "notifications",
    "faults",
    "versions",
    "recurring",
    "money",
    "resource",
    "world",
    "recipients",
    "idempotency",
    "params",
    "cards",
    "wording",
    "arithmetic",
    "clock",
    "object_store",
    "sandbox_errors",
)

#: The modules that ask for something of the rest of the package, and whom they ask.
BORDER = {("notifications.delivery", "signatures")}

Import = tuple[str, str]


def module_name(path: Path) -> str:
    """The name of a module inside the sandbox; a folder stands for its ``__init__``."""
    parts = path.relative_to(SANDBOX).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SANDBOX.rglob("*.py"))}


def imports_of(path: Path) -> Iterator[tuple[str, ...]]:
    """What a module imports from our package, as absolute paths of names."""
    package = (PACKAGE.name, *path.relative_to(PACKAGE).parent.parts)

    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = (*start, *(node.module or "").split("."))
            names = [
                (*(part for part in base if part), alias.name) for alias in node.names
            ]
        else:
            continue

        yield from (name for name in names if name[0] == PACKAGE.name)


def all_imports() -> tuple[set[Import], set[Import]]:
    """The imports inside the sandbox, and those of the rest of the package."""
    inside, outside = set(), set()

    for importer, path in MODULES.items():
        for name in imports_of(path):
            _, first, *rest = name

            if first != SANDBOX.name:
                outside.add((importer, name[-2]))
                continue

            names = [".".join(rest[:length]) for length in range(len(rest), 0, -1)]
            inside.add((importer, next(name for name in names if name in MODULES)))

    return inside, outside


def layer(module: str) -> int:
    return LAYERS.index(module.partition(".")[0])


def test_every_module_has_a_layer() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(LAYERS)


def test_imports_point_down() -> None:
    inside, _ = all_imports()
    upward = {(one, other) for one, other in inside if layer(one) > layer(other)}

    assert len(inside) > 300
    assert upward == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    """Inside a folder, too."""
    graph: dict[str, set[str]] = {}

    for importer, imported in all_imports()[0]:
        graph.setdefault(importer, set()).add(imported)

    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_rest_of_the_package_is_not_known() -> None:
    assert all_imports()[1] == BORDER


def test_no_two_modules_share_a_name() -> None:
    names = Counter(path.stem for path in MODULES.values() if path.stem != "__init__")
    folders = [
        path.name for path in SANDBOX.iterdir() if (path / "__init__.py").exists()
    ]

    assert [name for name, count in names.items() if count > 1] == []
    assert names.keys() & folders == set()


def test_only_testing_imports_the_sandbox() -> None:
    importers = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for name in imports_of(path)
        if SANDBOX.name in name[1:2]
    }

    assert importers == {"sandbox", "testing"}
