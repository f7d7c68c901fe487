"""An event can be copied and pickled, by a handler as well."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import responses

from flask_kavach_stripe import Event
from flask_kavach_stripe.testing import make_thin_event
from tests.vocabulary import ok
from tests.vocabulary import on
from tests.vocabulary import paid
from tests.vocabulary import SUB_1
from tests.vocabulary import subscription
from tests.vocabulary import T


def pickled(event: Event) -> Event:
    copied = pickle.loads(pickle.dumps(event))  # noqa: S301  (our own)
    assert isinstance(copied, Event)
    return copied


COPIES: list[Callable[[Event], Event]] = [copy.copy, copy.deepcopy, pickled]


@pytest.fixture(params=["before the user is read", "after"])
def received(request: pytest.FixtureRequest, kept_shop: Any) -> Event:
    """An event as a handler gets it."""
    seen: list[Event] = []

    @on(kept_shop, "invoice.paid")
    def remember(received: Event) -> None:
        if request.param == "after":
            assert received.user.id == 1

        for copy_of in COPIES[:2]:
            assert copy_of(received).user is kept_shop.db.session.get(kept_shop.User, 1)

        for copy_of in COPIES:
            assert copy_of(received) == received

        seen.append(received)

    ok(kept_shop.post_event(paid()))
    return seen[0]


@pytest.mark.parametrize("copy_of", COPIES)
def test_copy_is_an_event_with_all_that_stripe_sent(
    received: Event, copy_of: Callable[[Event], Event]
) -> None:
    copied = copy_of(received)
    assert type(copied) is Event
    assert copied == received
    assert copied is not received
    assert (copied.id, copied.type, copied.created, copied.object) == (
        received.id,
        received.type,
        received.created,
        received.object,
    )


def test_only_a_deep_copy_has_a_dict_of_its_own(received: Event) -> None:
    assert copy.copy(received)["data"] is received["data"]
    assert copy.deepcopy(received)["data"] is not received["data"]


def test_pickled_event_knows_no_user(received: Event) -> None:
    assert pickled(received).user is None


@pytest.mark.parametrize("copy_of", COPIES)
def test_copy_of_a_thin_event_knows_its_object(
    kept_shop: Any,
    stripe_api: responses.RequestsMock,
    copy_of: Callable[[Event], Event],
) -> None:
    copies: list[Event] = []

    @on(kept_shop, "customer.subscription.updated")
    def remember(received: Event) -> None:
        copies.append(copy_of(received))

    stripe_api.get(SUB_1, json=subscription())
    sent = make_thin_event("customer.subscription.updated", "sub_1", created=T)
    ok(kept_shop.post_event(sent))
    assert copies[0].has_object
    assert copies[0].object["id"] == "sub_1"


def test_event_of_a_subclass() -> None:
    class Own(Event): ...

    for copy_of in (copy.copy, copy.deepcopy):
        assert type(copy_of(Own({"id": "evt_1"}))) is Own
