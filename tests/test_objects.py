"""The readers take every API version's shape, and odd values."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from datetime import UTC
from typing import Any

import pytest

from flask_kavach_stripe.stripe_api.objects import as_mapping
from flask_kavach_stripe.stripe_api.objects import CheckoutFacts
from flask_kavach_stripe.stripe_api.objects import has_more_items
from flask_kavach_stripe.stripe_api.objects import InvoiceFacts
from flask_kavach_stripe.stripe_api.objects import ItemState
from flask_kavach_stripe.stripe_api.objects import read_checkout_session
from flask_kavach_stripe.stripe_api.objects import read_customer_id
from flask_kavach_stripe.stripe_api.objects import read_id
from flask_kavach_stripe.stripe_api.objects import read_invoice
from flask_kavach_stripe.stripe_api.objects import read_subscription
from flask_kavach_stripe.stripe_api.objects import read_text
from flask_kavach_stripe.stripe_api.objects import read_time
from flask_kavach_stripe.stripe_api.objects import SubscriptionState

Object = dict[str, Any]

CREATED, PERIOD_END, LATER, CANCEL_AT = (
    1764547200,  # 2025-12-01
    1767225600,  # 2026-01-01
    1769904000,  # 2026-02-01
    1768435200,  # 2026-01-15
)


def utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def item(**values: Any) -> Object:
    return {"id": "si_1", "price": {"id": "price_1"}, "quantity": 3, **values}


def subscription(*items: Object, **values: Any) -> Object:
    return {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "cancel_at_period_end": False,
        "cancel_at": None,
        "created": CREATED,
        "trial_end": None,
        "ended_at": None,
        "items": {"object": "list", "data": list(items), "has_more": False},
        **values,
    }


def acacia(**values: Any) -> Object:
    return subscription(item(), **{"current_period_end": PERIOD_END, **values})


def basil(**values: Any) -> Object:
    return subscription(item(current_period_end=PERIOD_END), **values)


STATE = SubscriptionState(
    id="sub_1",
    customer_id="cus_1",
    status="active",
    items=(ItemState("si_1", "price_1", 3),),
    current_period_end=utc(PERIOD_END),
    created=utc(CREATED),
)


def read(value: Object) -> SubscriptionState:
    state = read_subscription(value)
    assert state is not None
    return state


# -- subscriptions, by version -------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(acacia(), id="acacia: period on the subscription"),
        pytest.param(basil(), id="basil: period on the items"),
        pytest.param(basil(current_period_end=None), id="basil: old key null"),
        pytest.param(basil(current_period_end=LATER), id="both: the item's counts"),
        pytest.param(
            subscription(item(current_period_end=None), current_period_end=PERIOD_END),
            id="item's key null",
        ),
        pytest.param(
            basil(customer={"id": "cus_1", "object": "customer"}),
            id="expanded customer",
        ),
        pytest.param(
            basil(customer={"id": "cus_1", "deleted": True}), id="deleted customer"
        ),
        pytest.param(
            subscription(item(current_period_end=PERIOD_END, price="price_1")),
            id="price as an id",
        ),
        pytest.param(
            subscription(
                item(current_period_end=PERIOD_END, price=None, plan={"id": "price_1"})
            ),
            id="plan and no price",
        ),
        pytest.param(
            subscription(
                item(current_period_end=PERIOD_END, plan={"id": "price_other"})
            ),
            id="plan beside price",
        ),
        pytest.param(
            basil(billing_mode={"type": "flexible"}, status_details={}, metadata={}),
            id="endive: keys that we do not read",
        ),
    ],
)
def test_subscription_of_every_version(value: Object) -> None:
    assert read_subscription(value) == STATE


def test_all_items_are_read_and_the_earliest_end_gives_the_period() -> None:
    state = read(
        subscription(
            item(current_period_start=CANCEL_AT, current_period_end=LATER),
            item(
                id="si_2",
                price={"id": "price_2"},
                quantity=9,
                current_period_start=CREATED,
                current_period_end=PERIOD_END,
            ),
            item(id="si_3", price={"id": "price_3"}, quantity=None),
        )
    )
    assert state == STATE._replace(
        items=(
            ItemState("si_1", "price_1", 3),
            ItemState("si_2", "price_2", 9),
            ItemState("si_3", "price_3", None),
        ),
        current_period_start=utc(CREATED),
    )


@pytest.mark.parametrize(
    ("pause_collection", "is_paused"),
    [
        ({"behavior": "void"}, True),
        ({"behavior": "keep_as_draft"}, True),
        (None, False),
        ({}, False),
        ([], False),
        ("void", False),
        (True, False),
    ],
)
def test_paused_collection_leaves_the_status(
    pause_collection: object, is_paused: bool
) -> None:
    state = read(basil(pause_collection=pause_collection))
    assert state == STATE._replace(collection_paused=is_paused)


@pytest.mark.parametrize(
    ("cancel_at", "expected"),
    [(CANCEL_AT, utc(CANCEL_AT)), (None, None), ("soon", None), (-1, None)],
)
def test_day_of_a_scheduled_end_is_read(
    cancel_at: object, expected: datetime | None
) -> None:
    assert read(basil(cancel_at=cancel_at)).cancel_at == expected
    assert read(basil(cancel_at=cancel_at, status="canceled")).cancel_at is None


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ({"has_more": True}, True),
        ({"has_more": False}, False),
        ({"has_more": "true"}, False),
        ({}, False),
        ([], False),
        ("text", False),
        (None, False),
    ],
)
def test_list_of_items_says_whether_it_goes_on(items: object, expected: bool) -> None:
    assert has_more_items(basil(items=items)) is expected


@pytest.mark.parametrize(
    ("values", "is_scheduled"),
    [
        pytest.param({}, False, id="neither"),
        pytest.param({"cancel_at_period_end": True}, True, id="API, classic"),
        pytest.param(
            {"cancel_at_period_end": True, "cancel_at": PERIOD_END},
            True,
            id="portal, classic",
        ),
        pytest.param({"cancel_at": PERIOD_END}, True, id="portal, flexible"),
        pytest.param({"cancel_at": CANCEL_AT}, True, id="a date"),
        pytest.param(
            {"cancel_at": CANCEL_AT, "status": "canceled"}, False, id="has ended"
        ),
        pytest.param(
            {"cancel_at_period_end": True, "status": "incomplete_expired"},
            False,
            id="has expired",
        ),
        pytest.param({"cancel_at_period_end": None}, False, id="null"),
        pytest.param({"cancel_at_period_end": "false"}, False, id="text"),
        pytest.param({"cancel_at": "soon"}, False, id="no time"),
    ],
)
def test_scheduled_cancellation(values: Object, is_scheduled: bool) -> None:
    assert read(basil(**values)).cancel_at_period_end is is_scheduled


@pytest.mark.parametrize(
    "status",
    "incomplete incomplete_expired trialing active past_due canceled unpaid paused"
    " something_new".split(),
)
def test_every_status_is_read(status: str) -> None:
    state = read(basil(status=status))

    assert state.status == status
    assert state.has_ended == (status in ("canceled", "incomplete_expired"))


def test_times_are_read() -> None:
    state = read(basil(trial_end=LATER, ended_at=CANCEL_AT))
    assert (state.trial_end, state.ended_at) == (utc(LATER), utc(CANCEL_AT))


@pytest.mark.parametrize("items", [None, [], {}, {"data": None}, {"data": {}}])
def test_subscription_without_items_is_read(items: object) -> None:
    assert read(acacia(items=items)) == STATE._replace(items=())


def test_items_that_are_no_objects_are_read() -> None:
    state = read(acacia(items={"data": [None, 1, "x", []]}))
    assert state == STATE._replace(items=(ItemState(None, None),) * 4)


@pytest.mark.parametrize("key", ["id", "customer", "status"])
@pytest.mark.parametrize("value", [None, "", 7, True, [], {}, "a b", "x" * 256, "\0"])
def test_no_subscription_without_id_customer_and_status(
    key: str, value: object
) -> None:
    assert read_subscription(basil(**{key: value})) is None


@pytest.mark.parametrize(
    ("status", "final"),
    [
        ("active", "canceled"),
        ("incomplete", "canceled"),
        ("canceled", "canceled"),
        ("incomplete_expired", "incomplete_expired"),
    ],
)
def test_subscription_ends(status: str, final: str) -> None:
    ended = STATE._replace(status=status, cancel_at_period_end=True).ended(utc(LATER))

    assert ended == STATE._replace(status=final, ended_at=utc(LATER))
    assert ended.ended(utc(CREATED)) == ended


# -- invoices ------------------------------------------------------------------------


def line(end: object = PERIOD_END, **values: Any) -> Object:
    return {"id": "il_1", "period": {"start": CREATED, "end": end}, **values}


def invoice(*lines: Object, **values: Any) -> Object:
    return {
        "id": "in_1",
        "object": "invoice",
        "customer": "cus_1",
        "billing_reason": "subscription_cycle",
        "lines": {"object": "list", "data": list(lines)},
        **values,
    }


def parent(subscription: object) -> Object:
    return {
        "type": "subscription_details",
        "subscription_details": {"subscription": subscription, "metadata": {}},
    }


FACTS = InvoiceFacts("cus_1", "sub_1", "subscription_cycle", utc(PERIOD_END))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(invoice(line(), subscription="sub_1"), id="acacia"),
        pytest.param(
            invoice(line(), subscription={"id": "sub_1", "object": "subscription"}),
            id="acacia, expanded",
        ),
        pytest.param(
            invoice(line(), subscription="sub_1", parent=None), id="acacia, null parent"
        ),
        pytest.param(invoice(line(), parent=parent("sub_1")), id="basil"),
        pytest.param(
            invoice(line(), parent=parent({"id": "sub_1"})), id="basil, expanded"
        ),
        pytest.param(
            invoice(line(), parent=parent("sub_1"), subscription=None),
            id="basil, old key null",
        ),
        pytest.param(
            invoice(line(), parent=parent(None), subscription="sub_1"),
            id="new key null",
        ),
        pytest.param(
            invoice(
                line(parent={"subscription_item_details": {"subscription": "sub_1"}}),
                parent=None,
                subscription=None,
            ),
            id="only in the line",
        ),
        pytest.param(
            invoice(line(CREATED), line(), line(None), subscription="sub_1"),
            id="several lines: the latest end",
        ),
        pytest.param(
            invoice(line(), parent=parent("sub_1"), customer={"id": "cus_1"}),
            id="expanded customer",
        ),
    ],
)
def test_invoice_of_every_version(value: Object) -> None:
    assert read_invoice(value) == FACTS


@pytest.mark.parametrize(
    "value",
    [
        invoice(),
        invoice(parent={"type": "quote_details", "quote_details": {"quote": "qt_1"}}),
        invoice(lines=None, parent=None, subscription=None),
        invoice(lines={"data": [None]}, parent=[]),
    ],
)
def test_invoice_without_subscription(value: Object) -> None:
    assert read_invoice(value) == FACTS._replace(subscription_id=None, period_end=None)


# -- Checkout sessions ---------------------------------------------------------------


def session(**values: Any) -> Object:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "subscription",
        "status": "complete",
        "customer": "cus_1",
        "subscription": "sub_1",
        "client_reference_id": "7",
        "payment_link": None,
        "metadata": {"kavach_user_id": "7"},
        **values,
    }


SESSION = CheckoutFacts(
    customer_id="cus_1",
    subscription_id="sub_1",
    client_reference_id="7",
    is_subscription=True,
    is_complete=True,
    from_payment_link=False,
    names_user=True,
)


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        pytest.param({}, {}, id="ids"),
        pytest.param(
            {"customer": {"id": "cus_1"}, "subscription": basil()}, {}, id="expanded"
        ),
        pytest.param({"mode": "payment"}, {"is_subscription": False}, id="payment"),
        pytest.param({"mode": "setup"}, {"is_subscription": False}, id="setup"),
        pytest.param({"status": "open"}, {"is_complete": False}, id="open"),
        pytest.param({"status": "expired"}, {"is_complete": False}, id="expired"),
        pytest.param({"status": None}, {"is_complete": False}, id="no status"),
        pytest.param(
            {"payment_link": "plink_1"}, {"from_payment_link": True}, id="payment link"
        ),
        pytest.param({"mode": None}, {}, id="mode of null"),
        pytest.param(
            {"metadata": {"kavach_user_id": 7}}, {"names_user": True}, id="odd user"
        ),
        pytest.param({"metadata": {}}, {"names_user": False}, id="not ours"),
        pytest.param({"metadata": None}, {"names_user": False}, id="no metadata"),
        pytest.param(
            {"subscription": None}, {"subscription_id": None}, id="not made yet"
        ),
        pytest.param({"customer": None}, {"customer_id": None}, id="no customer"),
        pytest.param(
            {"client_reference_id": None}, {"client_reference_id": None}, id="nobody"
        ),
        pytest.param(
            {"client_reference_id": 7}, {"client_reference_id": None}, id="no text"
        ),
        pytest.param(
            {"client_reference_id": "7\0"}, {"client_reference_id": None}, id="NUL"
        ),
        pytest.param(
            {"client_reference_id": "\ud800"},
            {"client_reference_id": None},
            id="surrogate",
        ),
    ],
)
def test_checkout_session(values: Object, changes: Object) -> None:
    assert read_checkout_session(session(**values)) == SESSION._replace(**changes)


def test_checkout_session_without_mode_counts_as_subscription() -> None:
    value = session()
    del value["mode"]

    assert read_checkout_session(value) == SESSION


# -- whose object --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "customer_id"),
    [
        ({"object": "customer", "id": "cus_1"}, "cus_1"),
        ({"object": "customer", "id": "cus_1", "customer": "cus_2"}, "cus_1"),
        ({"object": "customer", "id": "cus_1", "deleted": True}, "cus_1"),
        ({"object": "subscription", "id": "sub_1", "customer": "cus_1"}, "cus_1"),
        ({"object": "charge", "customer": {"id": "cus_1"}}, "cus_1"),
        ({"object": "payment_method", "customer": None}, None),
        ({"id": "cus_1"}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_customer_of_an_object(value: object, customer_id: str | None) -> None:
    assert read_customer_id(value) == customer_id


# -- single values -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sub_1", "sub_1"),
        ({"id": "sub_1"}, "sub_1"),
        ({"id": {"id": "sub_1"}}, None),
        ({"id": None}, None),
        ({}, None),
        (None, None),
        (1, None),
        (True, None),
        (["sub_1"], None),
        (b"sub_1", None),
        ("", None),
        ("sub 1", None),
        ("sub_1\n", None),
        ("sub_1\0", None),
        ("süb_1", None),
        ("\ud800", None),
        ("x" * 255, "x" * 255),
        ("x" * 256, None),
    ],
)
def test_id(value: object, expected: str | None) -> None:
    assert read_id(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (PERIOD_END, utc(PERIOD_END)),
        (float(PERIOD_END) + 0.9, utc(PERIOD_END)),
        (0, utc(0)),
        ("2026-01-01T00:00:00.999Z", utc(PERIOD_END)),
        ("2026-01-01T01:00:00+01:00", utc(PERIOD_END)),
        pytest.param("2026-01-01T00:00:00", None, id="no zone"),
        pytest.param("2026-13-01T00:00:00Z", None, id="no month"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="before the calendar"),
        pytest.param("9999-12-31T23:59:59-14:00", None, id="after the calendar"),
        pytest.param("\ud800", None, id="surrogate"),
        pytest.param(str(PERIOD_END), None, id="digits"),
        ("", None),
        (-1, None),
        (-0.5, None),
        (10**12, None),
        (10**400, None),
        (-(10**400), None),
        (1e300, None),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        (True, None),
        (None, None),
        ([PERIOD_END], None),
        ({"id": 1}, None),
    ],
)
def test_time(value: object, expected: datetime | None) -> None:
    assert read_time(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1, 1),
        (2**31 - 1, 2**31 - 1),
        (2**31, None),
        (-1, None),
        (10**400, None),
        (True, None),
        (1.0, None),
        ("1", None),
        (None, None),
    ],
)
def test_quantity(value: object, expected: int | None) -> None:
    assert read(subscription(item(quantity=value))).items[0].quantity == expected


@pytest.mark.parametrize("value", [None, 1, "text", b"bytes", [], [("id", "x")], True])
def test_what_is_no_object_is_an_empty_one(value: object) -> None:
    assert as_mapping(value) == {}


# -- hostile values ------------------------------------------------------------------

HOSTILE: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    10**30,
    10**5000,
    1.5,
    float("nan"),
    float("inf"),
    float("-inf"),
    253402300799,
    "",
    " ",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "x" * 10_000,
    "9" * 10_000,
    "2026-01-01T00:00:00+23:59",
    "0001-01-01T00:00:00Z",
    "٣",
    [],
    [[]],
    [None],
    [10**5000],
    {},
    {"id": {}},
    {"id": 10**5000},
    {"id": "\ud800"},
    {"data": {}},
    {"data": [10**5000, "\0", None, [], {"period": 1, "parent": 1, "price": []}]},
    {"subscription_details": {"subscription": {"id": [1]}}},
    {"kavach_user_id": 10**5000},
    {"kavach_user_id": {"a": [10**5000]}},
    b"bytes",
]

READERS: list[tuple[Callable[[Any], object], Object]] = [
    (read_subscription, acacia(plan=None)),
    (read_subscription, basil(current_period_end=None)),
    (read_invoice, invoice(line(parent={}), parent=parent("sub_1"), subscription=None)),
    (read_checkout_session, session()),
    (read_customer_id, {"object": "customer", "id": "cus_1", "customer": "cus_1"}),
]

READER_IDS = ["acacia", "basil", "invoice", "session", "customer"]


def replaced_values(value: Any, new: Any) -> list[Any]:
    """Copies of an object, in each of which another value is replaced, at any depth."""
    found = [new]

    for key in value if isinstance(value, dict) else range(len(value)):
        if isinstance(value[key], dict | list):
            inner = replaced_values(value[key], new)
        else:
            inner = [new]

        for each in inner:
            copy = value.copy()
            copy[key] = each
            found.append(copy)

    return found


@pytest.mark.parametrize("number", range(len(HOSTILE)))
@pytest.mark.parametrize(("reader", "value"), READERS, ids=READER_IDS)
def test_hostile_values_never_raise(
    reader: Callable[[Any], object], value: Object, number: int
) -> None:
    """And what is read can be stored."""
    before = deepcopy(value)

    for each in replaced_values(value, HOSTILE[number]):
        check_storable(reader(each))

    assert value == before


def check_storable(found: Any) -> None:
    if found is None or isinstance(found, str):
        facts = {"": found}
    else:
        facts = found._asdict()
        facts.pop("names_user", None)  # is compared, and never stored or looked up

    for name, value in facts.items():
        if isinstance(value, str):
            assert "\0" not in value
            value.encode()
            # Whether there is a user of such a reference, only their table can say.
            assert len(value) <= 255 or name == "client_reference_id"
        elif isinstance(value, datetime):
            assert value.tzinfo is UTC
            assert value.microsecond == 0
        elif isinstance(value, int):
            assert 0 <= value < 2**31
        elif isinstance(value, tuple):
            for each in value:
                check_storable(each)
        else:
            assert value is None


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_single_values_never_raise(number: int) -> None:
    for reader in (read_id, read_text, read_time, as_mapping, read_customer_id):
        reader(HOSTILE[number])


@pytest.mark.parametrize(
    "reader", [read_subscription, read_invoice, read_checkout_session, read_customer_id]
)
def test_deep_objects_never_raise(reader: Callable[[Any], object]) -> None:
    depth = 600
    deep = json.loads('{"id":' * depth + "1" + "}" * depth)
    keys = ("id", "customer", "metadata", "items", "lines", "parent", "kavach_user_id")

    reader(dict.fromkeys(keys, deep))
    reader({"metadata": {"kavach_user_id": deep}})
