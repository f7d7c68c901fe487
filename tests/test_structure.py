"""What ``tests/structure.py`` counts, on a made-up package and on ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure import Calls
from tests.structure import find_arrows
from tests.structure import find_cycle
from tests.structure import find_modules
from tests.structure import NAME
from tests.structure import PROJECT
from tests.structure import Prose
from tests.structure import render
from tests.structure import Shape
from tests.structure import trace_calls

#: By file: 2 modules in the root, 6 in the core, 2 in the sandbox.
FILES = {
    "__init__.py": "from .views import view as view\n",
    "config.py": '"""Keys."""\n\nimport os\n\nDEBUG = "# no comment"  # but this is\n',
    "views.py": (
        "from typing import TYPE_CHECKING\n"
        "from . import config\n"
        "from .database.models import Row\n"
        "# A comment.\n"
        "if TYPE_CHECKING:\n"
        "    import shop.database.models\n"
    ),
    "database/__init__.py": "",
    "database/models.py": (
        "from ..config import DEBUG\n"
        "class Row:\n"
        '    """One row.\n'
        "\n"
        "    It has an id.\n"
        '    """\n'
        "    def load(self):\n"
        "        from . import keys\n"
    ),
    "database/keys.py": "from shop import config\nfrom . import VERSION\n",
    "sandbox/__init__.py": "from .. import config\n",
    "sandbox/money/cards.py": "# One.\n# Two.\nCARDS = ()\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folder of a made-up package."""
    package = tmp_path / "shop"

    for name, source in FILES.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    return package


def test_modules_are_counted(package: Path) -> None:
    shape = Shape.of(find_modules(package))

    assert shape.modules_in_root == 2
    assert shape.modules_in_core == 6
    assert shape.modules_in_sandbox == 2
    assert list(shape.folders) == [".", "database", "sandbox", "sandbox/money"]


def test_arrows_of_every_form(package: Path) -> None:
    assert find_arrows(find_modules(package)) == {
        ("shop", "shop.views"),
        ("shop.views", "shop.config"),
        ("shop.views", "shop.database.models"),  # twice, and one arrow
        ("shop.database.models", "shop.config"),
        ("shop.database.models", "shop.database.keys"),
        ("shop.database.keys", "shop.config"),
        ("shop.database.keys", "shop.database"),
        ("shop.sandbox", "shop.config"),
    }


def test_arrows_and_imports_of_the_core(package: Path) -> None:
    shape = Shape.of(find_modules(package))

    assert shape.arrows == 7
    assert shape.import_lines_per_module == 10 / 6


def test_core_that_imports_the_sandbox(package: Path) -> None:
    """No arrow within the core, and none to the package beside it."""
    (package / "config.py").write_text("from . import sandbox\n")

    assert ("shop.config", "shop.sandbox") in find_arrows(find_modules(package))
    assert Shape.of(find_modules(package)).arrows == 7


def test_lines_are_counted(package: Path) -> None:
    shape = Shape.of(find_modules(package))

    assert shape.folders["database"] == Prose(
        modules=3, code=6, docstrings=4, comments=0
    )
    assert shape.folders["."] == Prose(modules=3, code=8, docstrings=1, comments=1)
    assert shape.core == Prose(modules=6, code=14, docstrings=5, comments=1)
    assert shape.sandbox == Prose(modules=2, code=2, docstrings=0, comments=2)


def test_no_cycle(package: Path) -> None:
    assert Shape.of(find_modules(package)).cycle == []


def test_cycle(package: Path) -> None:
    (package / "config.py").write_text("from .views import view\n")
    [first, *_, last] = cycle = Shape.of(find_modules(package)).cycle

    assert first == last
    assert {"shop.config", "shop.views"} <= set(cycle)
    assert " -> ".join(cycle) in render(Shape.of(find_modules(package)), {})


def test_cycle_follows_the_arrows() -> None:
    cycle = find_cycle({("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")})

    assert "".join(cycle) in ("bcdb", "cdbc", "dbcd")


@pytest.mark.parametrize(
    ("files", "calls"),
    [
        pytest.param([], Calls(0, 0, 0), id="none"),
        pytest.param(["a", "a"], Calls(2, 1, 0), id="one module"),
        pytest.param(["a", "b", "b", "a"], Calls(4, 2, 2), id="there and back"),
    ],
)
def test_calls_are_counted(files: list[str], calls: Calls) -> None:
    assert Calls.of(files) == calls


def test_our_modules_are_all_found() -> None:
    """Each by the name that Python imports it by."""
    names = {module.name for module in find_modules(PROJECT / NAME)}
    files = {
        path.relative_to(PROJECT).as_posix() for path in (PROJECT / NAME).rglob("*.py")
    }

    assert len(names) == len(files)
    assert all(
        {f"{path}.py", f"{path}/__init__.py"} & files
        for path in (name.replace(".", "/") for name in names)
    )


def test_our_modules_import_each_other_in_no_circle() -> None:
    assert find_cycle(find_arrows(find_modules(PROJECT / NAME))) == []


def test_our_imports_are_seen() -> None:
    """No module is on its own: each imports one of ours, or one of ours imports it."""
    modules = find_modules(PROJECT / NAME)
    ends = {name for arrow in find_arrows(modules) for name in arrow}

    assert {m.name for m in modules if not m.is_package} - ends == set()


def test_requests_run_through_our_modules() -> None:
    """Both requests succeed, with the package of this checkout."""
    modules = Shape.of(find_modules(PROJECT / NAME)).modules_in_core
    requests = trace_calls(PROJECT)

    assert list(requests) == ["webhook", "checkout"]

    for counted in requests.values():
        assert 1 < counted.modules < modules
        assert counted.modules <= counted.changes + 1 <= counted.calls
