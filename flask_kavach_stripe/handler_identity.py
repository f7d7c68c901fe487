"""What a handler is, as Python sees it: the same definition again, ``async`` or not.

A ``def`` makes a new function each time it runs. The functions of one ``def`` share
their module, their qualified name and their code. They are the same handler again if
what they have captured is the same, too: their defaults, the variables of the functions
around them, the object of a method, the arguments of a ``functools.partial``.

-   In a loop, ``def grant(event, plan=plan)`` makes a handler for each plan, as does a
    function that is called with each plan and returns a handler. The captured plans
    differ, so none replaces another.
-   In an app factory, each call makes an app, and its handlers may have captured it. So
    once another app was set up, captured objects need only be of the same class. Texts,
    numbers and functions are still compared: ``make_handler("pro")`` and
    ``make_handler("team")`` stay two handlers, whenever they are registered.
-   A lambda is compared like any other function. A callable object is the same handler
    only if it is the same object.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from importlib.util import find_spec
from types import FunctionType
from types import MethodType
from typing import Any
from typing import Final

#: Values that are compared by what they are. All others are compared as objects.
_PLAIN: Final = (str, bytes, int, float, complex, tuple, frozenset, type(None))


def is_same(one: Any, other: Any, *, is_new_app: bool) -> bool:
    """Whether two handlers are the same definition, see the head of this module.

    :param is_new_app: Whether another app was set up in between. Then both may have
        captured other objects, of the same classes.
    """
    return _is_same(one, other, is_new_app, frozenset())


def _is_same(
    one: Any, other: Any, is_new_app: bool, seen: frozenset[tuple[int, int]]
) -> bool:
    """As :func:`is_same`; for anything that a handler has captured as well.

    :param seen: The pairs that are being compared: a function may capture itself.
    """
    pair = (id(one), id(other))

    if one is other or pair in seen:
        return True

    if type(one) is not type(other):
        # A handler itself is a definition; an object that it has captured is none.
        return is_new_app and bool(seen) and _name(type(one)) == _name(type(other))

    if isinstance(one, FunctionType):
        is_alike = _code(one) == _code(other)
    elif isinstance(one, MethodType | functools.partial):
        is_alike = True
    elif isinstance(one, type):
        return is_new_app and _name(one) == _name(other)
    elif isinstance(one, _PLAIN) or not seen:
        return bool(one == other)
    else:
        return is_new_app

    captured, others = list(_captured(one)), list(_captured(other))
    return (
        is_alike
        and len(captured) == len(others)
        and all(
            _is_same(value, other_value, is_new_app, seen | {pair})
            for value, other_value in zip(captured, others, strict=True)
        )
    )


def _name(value: Any) -> tuple[str, str]:
    """The module and the qualified name of a function or a class."""
    return value.__module__, value.__qualname__


def _code(function: FunctionType) -> tuple[Any, ...]:
    """The ``def`` of a function; the code tells two of the same name apart."""
    return *_name(function), function.__code__


def _captured(value: Any) -> Iterator[Any]:
    """The values that make one function, method or partial differ from another."""
    if isinstance(value, functools.partial):
        yield value.func
        yield from value.args

        for name, argument in sorted(value.keywords.items()):
            yield name
            yield argument
    elif isinstance(value, MethodType):
        yield value.__func__
        yield value.__self__
    else:
        yield from value.__defaults__ or ()

        for name, default in sorted((value.__kwdefaults__ or {}).items()):
            yield name
            yield default

        for cell in value.__closure__ or ():
            # A cell is empty until its variable is assigned. Cells that are shared
            # hold the same variable.
            yield cell.cell_contents if _is_filled(cell) else cell


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (the only way to ask)
    except ValueError:
        return False

    return True


def is_async(handler: Any) -> bool:
    """Whether a call of the handler gives a coroutine.

    Looks into a ``functools.partial``, and at ``__call__`` of an object. A decorator
    around an ``async def`` may hide it; then ``events.run`` waits for what it returns.
    """
    while isinstance(handler, functools.partial):
        handler = handler.func

    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004  (not whether it is callable)
    )


def can_wait() -> bool:
    """Whether ``asgiref`` is installed, by which Flask runs coroutines."""
    try:
        return find_spec("asgiref.sync") is not None
    except ModuleNotFoundError:
        return False
