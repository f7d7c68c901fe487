"""The list of faults: each still fits the code that it breaks.

That the tests notice the faults takes minutes: run ``tests/broken_on_purpose.py``.
"""

from __future__ import annotations

import pytest

from tests.broken_on_purpose import Fault
from tests.broken_on_purpose import FAULTS
from tests.broken_on_purpose import PACKAGE
from tests.broken_on_purpose import PROJECT

EACH = pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=fault.name) for fault in FAULTS]
)


@EACH
def test_text_occurs_once(fault: Fault) -> None:
    code = (PROJECT / PACKAGE / fault.module).read_text("utf-8")

    assert code.count(fault.old) == 1


@EACH
def test_broken_module_can_be_compiled(fault: Fault) -> None:
    """A syntax error would turn every test red, whatever they check."""
    code = (PROJECT / PACKAGE / fault.module).read_text("utf-8")

    assert fault.new != fault.old
    compile(code.replace(fault.old, fault.new), fault.module, "exec")


@EACH
def test_named_tests_exist(fault: Fault) -> None:
    assert fault.tests.split()
    assert all((PROJECT / "tests" / name).exists() for name in fault.tests.split())


def test_names_are_unique() -> None:
    """A fault is chosen by its name."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
