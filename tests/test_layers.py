"""The direction of imports: rooms know only the rooms below them, files only the files
below them in their room.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_kavach_stripe.cli.group import COMMANDS

NAME = "flask_kavach_stripe"
PACKAGE = Path(__file__).parent.parent / NAME

#: From the top down. A line imports from the lines below it; of the files in one line,
#: none imports another. The files of a room stand in the order of its line in FILES.
ROOMS = (
    ("__init__",),
    ("extension",),
    ("cli",),
    ("operations",),
    ("testing",),
    ("sandbox",),
    ("views",),
    ("guards",),
    ("answers",),
    ("billing",),
    ("events",),
    ("state",),
    ("database",),
    ("origins", "forms"),
    ("config",),
    ("registry",),
    ("handler_identity",),
    ("subscription", "differences"),
    ("customer_state",),
    ("price_entries",),
    ("catalogue",),
    ("marks",),
    ("stripe_api",),
    ("errors", "urls", "sentinels"),
)

#: The files of a room, from the top down, as in ROOMS.
FILES = {
    "billing": (
        ("offers",),
        ("checkout", "portal", "success"),
        ("selling",),
        ("customers",),
        ("relink",),
        ("refresh",),
        ("stored_subscriptions", "presence", "user_deletion"),
        ("users", "named_prices"),
    ),
    "events": (
        ("retry",),
        ("receive", "store_for_helper"),
        ("effects", "run"),
        ("link", "store", "thin"),
        ("ask",),
    ),
    "database": (
        ("payers",),
        ("rows", "keys"),
        ("ledger",),
        ("writes",),
        ("setup",),
        ("transactions", "models"),
    ),
    "stripe_api": (
        ("client",),
        ("connections", "encoding", "event"),
        ("objects", "signatures", "event_types"),
    ),
    "operations": (
        (
            "doctor",
            "sync",
            "catch_up",
            "forget",
            "link_customers",
            "prune",
            "trigger",
        ),
        ("checks_here", "checks_at_stripe", "checks_of_customers"),
        ("examination", "webhook_probe"),
        ("explanations", "outcomes", "running_subscriptions", "webhook_endpoints"),
    ),
    "cli": (
        ("group", *(sorted({place.partition(":")[0] for place in COMMANDS.values()}))),
        ("formats",),
    ),
    "testing": (("fixtures",), ("sandbox",), ("__init__",), ("deliveries", "samples")),
}

#: What a room or file may import at the most, where that is less than what is below it.
ONLY = {
    "catalogue": set(),
    "customer_state": {"stripe_api.objects", "catalogue"},
    "differences": {"stripe_api.objects", "catalogue", "customer_state"},
    "subscription": {"stripe_api.objects", "catalogue", "customer_state"},
    "registry": {
        "handler_identity",
        "stripe_api.event",
        "stripe_api.event_types",
        "errors",
    },
    "handler_identity": set(),
    "marks": {"stripe_api.objects"},
    "stripe_api": {"stripe_api", "errors"},
    "database": {"database", "customer_state", "stripe_api.objects", "errors"},
    "sandbox": {"sandbox", "stripe_api.objects", "stripe_api.signatures"},
}

#: Who alone may import a room, besides itself.
USERS = {
    "testing": {"operations.webhook_probe", "operations.trigger", "cli.sandbox"},
    "sandbox": {"testing"},
    "operations": {"cli"},
    "cli": {"extension"},
}

#: What a room never imports from outside of the package.
NEVER = {
    "stripe_api": {"flask", "flask_login", "flask_sqlalchemy", "sqlalchemy"},
    "database": {"flask", "flask_login"},
    "customer_state": {"flask", "flask_login", "flask_sqlalchemy", "sqlalchemy"},
    "subscription": {"flask", "flask_login", "flask_sqlalchemy", "sqlalchemy"},
}


def module_name(path: Path) -> str:
    """The dotted name of a file below the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """The modules that a module imports, each with the name taken from it.

    :param package: The package that a relative import starts from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""

            if node.level:
                start = package.split(".")[: -node.level + 1 or None]
                base = ".".join(start + ([node.module] if node.module else []))

            # ``from . import config`` and ``from .config import Settings``
            yield from (f"{base}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """The modules of ours that a module imports, by their dotted names."""
    package = f"{NAME}.{module}".rpartition(".")[0]
    found = set()

    for name in imports(MODULES[module], package):
        root, _, rest = name.partition(".")

        if root == NAME:
            found.add(longest_module(rest))

    return found


def longest_module(name: str) -> str:
    """The module in ``events.store.Update``, and ``__init__`` where there is none."""
    parts = name.split(".")

    while parts and ".".join(parts) not in MODULES:
        init = ".".join((*parts, "__init__"))

        if init in MODULES:
            return init

        parts.pop()

    return ".".join(parts) or "__init__"


def position(name: str, lines: tuple[tuple[str, ...], ...]) -> int:
    (line,) = (number for number, line in enumerate(lines) if name in line)
    return line


def is_below(importer: str, imported: str) -> bool:
    """Whether one module stands below another."""
    room, _, file = importer.partition(".")
    other_room, _, other_file = imported.partition(".")

    if room != other_room:
        return position(room, ROOMS) < position(other_room, ROOMS)

    if room not in FILES:  # the sandbox has a test of its own
        return True

    return position(file, FILES[room]) < position(other_file, FILES[room])


def is_in(name: str, names: set[str]) -> bool:
    return name in names or name.partition(".")[0] in names


#: What is in each module, by its dotted name.
MODULES = {
    module_name(path): ast.parse(path.read_text("utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

ARROWS = [
    (importer, imported)
    for importer in MODULES
    for imported in sorted(own_imports(importer))
]


def test_every_file_has_a_place() -> None:
    rooms = {name for line in ROOMS for name in line}
    placed = rooms | {
        f"{room}.{file}" for room in FILES for line in FILES[room] for file in line
    }
    elsewhere = {
        name
        for name in MODULES
        if name not in placed and not name.startswith("sandbox.")
    }

    assert {name.partition(".")[0] for name in MODULES} == rooms
    # Only the `__init__` of a room may be left, as long as it imports nothing of ours.
    assert {name for name in elsewhere if not name.endswith(".__init__")} == set()
    assert [importer for importer, _ in ARROWS if importer in elsewhere] == []


def test_imports_point_down() -> None:
    assert [arrow for arrow in ARROWS if not is_below(*arrow)] == []


def test_rooms_import_only_what_they_may() -> None:
    assert [
        (importer, imported)
        for importer, imported in ARROWS
        for room in ONLY
        if is_in(importer, {room}) and not is_in(imported, ONLY[room])
    ] == []


def test_rooms_are_used_only_by_who_may() -> None:
    assert [
        (importer, imported)
        for importer, imported in ARROWS
        for room in USERS
        if is_in(imported, {room}) and not is_in(importer, {room, *USERS[room]})
    ] == []


def test_rooms_keep_apart_from_frameworks() -> None:
    assert [
        (name, imported)
        for name, tree in MODULES.items()
        for room in NEVER
        if is_in(name, {room})
        for imported in imports(tree, NAME)
        if imported.partition(".")[0] in NEVER[room]
    ] == []


def test_imports_stand_at_the_top() -> None:
    """Also an import in a function would be a way around the direction."""
    hidden = [
        (name, ast.unparse(node))
        for name, tree in MODULES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Name) and node.id == "__import__")
        or (isinstance(node, ast.Attribute) and node.attr == "import_module")
    ]

    assert hidden == []


def test_no_two_modules_share_a_name() -> None:
    """Bar a command and its work, and the two doors to the sandbox."""
    names = Counter(
        name.rpartition(".")[2]
        for name in MODULES
        if not name.endswith("__init__") and not name.startswith(("cli.", "testing."))
    )

    assert [name for name, number in names.items() if number > 1] == []


def test_commands_are_where_the_table_says() -> None:
    """The table is read when a command runs, so imports do not show it."""
    assert {f"cli.{place.partition(':')[0]}" for place in COMMANDS.values()} == {
        name
        for name in MODULES
        if name.startswith("cli.")
        and name not in ("cli.__init__", "cli.formats", "cli.group")
    }


@pytest.mark.parametrize(
    ("source", "package", "names"),
    [
        ("from .config import Price", NAME, [f"{NAME}.config.Price"]),
        ("from . import config", NAME, [f"{NAME}.config"]),
        ("from ..config import Price", f"{NAME}.testing", [f"{NAME}.config.Price"]),
        (f"import {NAME}.config as c", NAME, [f"{NAME}.config"]),
        (f"if TYPE_CHECKING:\n import {NAME}", NAME, [NAME]),
    ],
)
def test_every_form_of_import_is_seen(
    source: str, package: str, names: list[str]
) -> None:
    assert list(imports(ast.parse(source), package)) == names
