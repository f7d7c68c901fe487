"""Handlers that are ``async``, with and without ``asgiref``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable
from collections.abc import Callable
from typing import Any

import pytest

from flask_kavach_stripe import ConfigurationError
from flask_kavach_stripe import Event
from flask_kavach_stripe import KavachStripe
from tests.vocabulary import event
from tests.vocabulary import failed
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import on_change
from tests.vocabulary import paid


async def note(called: list[str], *args: Any) -> None:
    called.append("called")


class Note:
    def __init__(self, called: list[str]) -> None:
        self.called = called

    async def __call__(self, *args: Any) -> None:
        self.called.append("called")

    async def method(self, *args: Any) -> None:
        self.called.append("called")


def a_function(called: list[str]) -> Callable[..., Any]:
    async def handler(*args: Any) -> None:
        called.append("called")

    return handler


def a_partial(called: list[str]) -> Callable[..., Any]:
    return functools.partial(note, called)


def a_partial_of_an_object(called: list[str]) -> Callable[..., Any]:
    return functools.partial(Note(called))


def a_method(called: list[str]) -> Callable[..., Any]:
    return Note(called).method


KINDS = [a_function, a_partial, a_partial_of_an_object, a_method, Note]


@pytest.fixture(params=["asgiref", "asgiref.sync"])
def without_asgiref(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "asgiref.sync", raising=False)
    monkeypatch.setitem(sys.modules, request.param, None)


@pytest.mark.usefixtures("without_asgiref")
@pytest.mark.parametrize("make", KINDS)
def test_async_handler_without_asgiref_is_refused_at_once(
    make: Callable[[list[str]], Any],
) -> None:
    kavach_stripe = KavachStripe()

    with pytest.raises(ConfigurationError, match=r"'async'.*flask\[async\]"):
        kavach_stripe.on("invoice.paid")(make([]))

    with pytest.raises(ConfigurationError, match=r"'async'.*flask\[async\]"):
        kavach_stripe.on_subscription_change(make([]))

    with pytest.raises(ConfigurationError, match=r"'async'.*flask\[async\]"):
        KavachStripe(on_subscription_change=make([]))


@pytest.mark.usefixtures("without_asgiref")
def test_other_handlers_need_no_asgiref(shop: Any) -> None:
    called: list[Any] = []
    on(shop, "invoice.paid")(called.append)
    ok(shop.post_event(paid()))
    assert len(called) == 1


@pytest.mark.parametrize("make", KINDS)
def test_async_handler_runs(shop: Any, make: Callable[[list[str]], Any]) -> None:
    called: list[str] = []
    on(shop, "customer.subscription.created")(make(called))
    on_change(shop)(make(called))
    ok(shop.post_event(event("created")))
    assert called == ["called", "called"]


def test_decorator_that_hides_the_async_handler(shop: Any) -> None:
    """It used to give a coroutine that nobody waited for."""

    def logged(
        handler: Callable[[Event], Awaitable[None]],
    ) -> Callable[[Event], Awaitable[None]]:
        @functools.wraps(handler)
        def wrapper(event: Event) -> Awaitable[None]:
            return handler(event)

        return wrapper

    @on(shop, "invoice.paid")
    @logged
    async def write(received: Event) -> None:
        shop.note("x")
        raise ValueError("late")

    failed(shop.post_event(paid()))
    assert shop.notes == []
    assert shop.events[0].error == "ValueError: late"
