"""The shape of the package: modules, imports, how far one request runs, prose.

    python -m tests.structure [--repo DIR] [--json]

Prints a small table. No name of a module is written here, so the same script measures
two checkouts, before and after files have moved.

The *core* is the package without the folder ``sandbox``. What is counted:

``modules``
    Python files. Those in the root are counted without ``__init__.py``, those of the
    core and the sandbox with it.
``arrows``
    Distinct pairs of a module of the core and another one of the core that it imports,
    in any form, anywhere in the file, also under ``TYPE_CHECKING``. ``from . import x``
    points to the module ``x``, if there is one, else to the package. That Python also
    runs the ``__init__.py`` of each package on the way is no arrow.
``import lines``
    Import statements of a module of the core, on average.
``cycle``
    Modules of the whole package that import each other in a circle, by such arrows.
``calls``, ``changes``
    See ``tests/structure_calls.py``.
``docstrings``, ``comments``
    Their lines for one line of code. Blank lines count within a docstring alone. A line
    with code and a comment is a line of code.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import asdict
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError
from graphlib import TopologicalSorter
from io import StringIO
from itertools import pairwise
from pathlib import Path
from tokenize import COMMENT
from tokenize import generate_tokens
from typing import Final

NAME: Final = "flask_kavach_stripe"
PROJECT: Final = Path(__file__).parent.parent
CALLS: Final = Path(__file__).with_name("structure_calls.py")

Arrow = tuple[str, str]


class Module:
    """One Python file of a package.

    :param path: The file.
    :param package: The folder of the outermost package that it is in.
    """

    def __init__(self, path: Path, package: Path) -> None:
        relative = path.relative_to(package)
        self.folder: Final = relative.parent.as_posix()
        self.is_package: Final = path.name == "__init__.py"
        parts = (package.name, *relative.with_suffix("").parts)
        self.name: Final = ".".join(parts[:-1] if self.is_package else parts)
        self.source: Final = path.read_text("utf-8")

    @property
    def is_in_root(self) -> bool:
        return self.folder == "." and not self.is_package

    @property
    def is_in_core(self) -> bool:
        return self.folder.split("/")[0] != "sandbox"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """All import statements, wherever they stand."""
        return [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

    def imported_names(self) -> Iterator[str]:
        """Absolute names: ``from .config import Price`` gives ``package.config.Price``,
        which may be a module or something in one.
        """
        for node in self.imports:
            base = f"{self._base(node)}." if isinstance(node, ast.ImportFrom) else ""
            yield from (base + alias.name for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module after ``from``."""
        if not node.level:
            return node.module or ""

        parts = self.name.split(".")
        # One dot is the package itself, and the package that a module is in.
        above = node.level - (1 if self.is_package else 0)
        start = parts[: len(parts) - above]
        return ".".join((*start, node.module) if node.module else start)


@dataclass(frozen=True)
class Prose:
    """Lines of some modules."""

    modules: int
    code: int
    docstrings: int
    comments: int

    @classmethod
    def of(cls, modules: Iterable[Module]) -> Prose:
        counts = [_count_lines(module) for module in modules]
        return cls(len(counts), *(sum(column) for column in zip(*counts, strict=True)))


@dataclass(frozen=True)
class Calls:
    """How far one request runs through the core.

    :param calls: Calls of functions.
    :param modules: The modules that these functions are in.
    :param changes: How often a call is in another module than the call before it.
    """

    calls: int
    modules: int
    changes: int

    @classmethod
    def of(cls, files: list[str]) -> Calls:
        """Count.

        :param files: The file of each call, in the order of the calls.
        """
        changes = sum(file != after for file, after in pairwise(files))
        return cls(len(files), len(set(files)), changes)


@dataclass(frozen=True)
class Shape:
    """What can be seen without running the package.

    :param cycle: The names of modules that import each other, of which the first one
        is also the last. Empty if there are none.
    """

    modules_in_root: int
    modules_in_core: int
    modules_in_sandbox: int
    arrows: int
    import_lines_per_module: float
    cycle: list[str]
    folders: dict[str, Prose]
    core: Prose
    sandbox: Prose

    @classmethod
    def of(cls, modules: list[Module]) -> Shape:
        core = [module for module in modules if module.is_in_core]
        sandbox = [module for module in modules if not module.is_in_core]
        core_names = {module.name for module in core}
        arrows = find_arrows(modules)
        return cls(
            modules_in_root=sum(module.is_in_root for module in modules),
            modules_in_core=len(core),
            modules_in_sandbox=len(sandbox),
            arrows=sum(core_names.issuperset(arrow) for arrow in arrows),
            import_lines_per_module=sum(len(m.imports) for m in core) / len(core),
            cycle=find_cycle(arrows),
            folders={
                folder: Prose.of(m for m in modules if m.folder == folder)
                for folder in sorted({module.folder for module in modules})
            },
            core=Prose.of(core),
            sandbox=Prose.of(sandbox),
        )


def find_modules(package: Path) -> list[Module]:
    """All modules of a package and of the packages in it."""
    return [Module(path, package) for path in sorted(package.rglob("*.py"))]


def find_arrows(modules: Iterable[Module]) -> set[Arrow]:
    """The names of an importing and an imported module each.

    :param modules: All modules of the package: a name that is none of them is taken for
        something that is defined in its package.
    """
    by_name = {module.name: module for module in modules}
    arrows = set()

    for module in by_name.values():
        for imported in module.imported_names():
            # A module, or something that is defined in one.
            name = imported if imported in by_name else imported.rpartition(".")[0]

            if name in by_name and name != module.name:
                arrows.add((module.name, name))

    return arrows


def find_cycle(arrows: Iterable[Arrow]) -> list[str]:
    """A way along arrows that ends where it began, empty if there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()

    for importing, imported in sorted(arrows):
        sorter.add(imported, importing)

    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])

    return []


def _count_lines(module: Module) -> tuple[int, int, int]:
    """Lines of code, of docstrings, and with nothing but a comment."""
    lines = module.source.splitlines()
    written = {number for number, line in enumerate(lines, 1) if line.strip()}
    docstrings = set(_docstring_lines(module.tree))
    comments = set(_comment_lines(module.source))
    return len(written - docstrings - comments), len(docstrings), len(comments)


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            yield from range(text.lineno, (text.end_lineno or text.lineno) + 1)


def _comment_lines(source: str) -> Iterator[int]:
    """Lines that begin with a comment; a ``#`` in a text is none."""
    for token in generate_tokens(StringIO(source).readline):
        row, column = token.start

        if token.type == COMMENT and not token.line[:column].strip():
            yield row


def trace_calls(repo: Path) -> dict[str, Calls]:
    """Run a webhook and a checkout in another process, with the package of a checkout.

    :raises subprocess.CalledProcessError: If a request fails there, or another copy of
        the package was imported.
    """
    run = subprocess.run(  # noqa: S603 (our own interpreter and code)
        # -P: the folder of the script holds no modules for it. -B: only read there.
        [sys.executable, "-P", "-B", str(CALLS), str(repo / NAME)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repo)},
    )
    return {name: Calls.of(files) for name, files in json.loads(run.stdout).items()}


def render(shape: Shape, requests: dict[str, Calls]) -> str:
    """The table as text."""
    modules = (
        f"{shape.modules_in_root} in the root, {shape.modules_in_core} in the core,"
        f" {shape.modules_in_sandbox} in the sandbox"
    )
    rows = [
        ("modules", modules),
        ("arrows between modules of the core", f"{shape.arrows}"),
        ("import lines per module", f"{shape.import_lines_per_module:.1f}"),
        ("import cycle", " -> ".join(shape.cycle) or "none"),
        *((f"one {name}", _render_calls(calls)) for name, calls in requests.items()),
    ]
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:{width}}  {value}" for label, value in rows]
    return "\n".join((*lines, "", *_render_prose(shape)))


def _render_calls(calls: Calls) -> str:
    return (
        f"{calls.calls} calls in {calls.modules} modules,"
        f" {calls.changes} changes of module"
    )


def _render_prose(shape: Shape) -> Iterator[str]:
    rows = {
        **{name.replace(".", "(root)"): prose for name, prose in shape.folders.items()},
        "all of the core": shape.core,
        "all of the sandbox": shape.sandbox,
    }
    width = max(len(name) for name in rows)
    yield f"{'':{width}}  modules  code lines  docstrings  comments"

    for name, prose in rows.items():
        code = prose.code or 1  # an empty `__init__.py` alone
        yield (
            f"{name:{width}}  {prose.modules:7}  {prose.code:10}"
            f"  {prose.docstrings / code:10.3f}  {prose.comments / code:8.3f}"
        )


def main() -> int:
    """Print the table.

    :return: The exit status: 1 if the requests failed, as in a checkout that is being
        rebuilt.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--repo", type=Path, default=PROJECT, help="another checkout, by default ours"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    arguments = parser.parse_args()
    repo: Path = arguments.repo.resolve()

    if not (repo / NAME).is_dir():
        parser.error(f"{repo} has no folder {NAME!r}.")

    shape = Shape.of(find_modules(repo / NAME))

    try:
        requests = trace_calls(repo)
    except subprocess.CalledProcessError:
        print("The requests failed, and are left out below.", file=sys.stderr)
        requests = {}

    if arguments.json:
        calls = {name: asdict(counted) for name, counted in requests.items()}
        print(json.dumps({**asdict(shape), "requests": calls}, indent=2))
    else:
        print(render(shape, requests))

    return 0 if requests else 1


if __name__ == "__main__":
    raise SystemExit(main())
