"""Lists of Stripe, page by page."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import responses
from responses.matchers import query_param_matcher

from flask_kavach_stripe.errors import APIError
from flask_kavach_stripe.stripe_api.client import StripeClient
from tests.client.wire import BASE
from tests.client.wire import page


def test_paginate(client: StripeClient, stripe_api: responses.RequestsMock) -> None:
    for cursor, answer in (
        ({}, page("c", "b", has_more=True)),
        ({"starting_after": "b"}, page("a")),
    ):
        stripe_api.get(
            f"{BASE}/v1/subscriptions",
            json=answer,
            match=[query_param_matcher({"status": "all", **cursor})],
        )

    params = {"status": "all"}
    found = client.paginate("/v1/subscriptions", params)
    assert [item["id"] for item in found] == ["c", "b", "a"]
    assert params == {"status": "all"}


def test_paginate_asks_only_as_far_as_needed(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{BASE}/v1/prices", json=page("b", "a", has_more=True))
    found = client.paginate("/v1/prices")
    assert not stripe_api.calls

    assert next(found) == {"id": "b"}
    assert len(stripe_api.calls) == 1


def test_paginate_backwards(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    for cursor, answer in (
        ("a", page("c", "b", has_more=True)),
        ("c", page("d")),
    ):
        stripe_api.get(
            f"{BASE}/v1/events",
            json=answer,
            match=[query_param_matcher({"ending_before": cursor})],
        )

    found = client.paginate("/v1/events", {"ending_before": "a"})
    assert [item["id"] for item in found] == ["b", "c", "d"]


def test_pages_tell_their_time(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    first = {"Date": "Thu, 15 Jan 2026 12:00:00 GMT"}
    stripe_api.get(
        f"{BASE}/v1/prices", json=page("c", "b", has_more=True), headers=first
    )
    stripe_api.get(
        f"{BASE}/v1/prices",
        json=page("a"),
        match=[query_param_matcher({"starting_after": "b"})],
    )

    found = list(client.pages("/v1/prices"))

    assert [[item["id"] for item in each["data"]] for each in found] == [
        ["c", "b"],
        ["a"],
    ]
    assert found[0].as_of is not None
    assert found[0].as_of.date() == date(2026, 1, 15)
    assert found[1].as_of is None


@pytest.mark.parametrize(
    ("path", "first"),
    [
        pytest.param(
            "/v1/customers/search",
            page("b", next_page="p2", has_more=True),
            id="search",
        ),
        pytest.param(
            "/v2/core/accounts",
            {"data": [{"id": "b"}], "next_page_url": "//evil.example/?page=p2"},
            id="v2",
        ),
    ],
)
def test_paginate_by_page(
    path: str,
    first: dict[str, Any],
    client: StripeClient,
    stripe_api: responses.RequestsMock,
) -> None:
    """The URL in an answer is not called, only its ``page`` is taken."""
    for cursor, answer in (({}, first), ({"page": "p2"}, page("a"))):
        stripe_api.get(
            BASE + path,
            json=answer,
            match=[query_param_matcher({"query": "x", **cursor})],
        )

    found = client.paginate(path, {"query": "x"})
    assert [item["id"] for item in found] == ["b", "a"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="no list"),
        pytest.param({"data": None}, id="null"),
        pytest.param({"data": {"id": "a"}}, id="mapping"),
        pytest.param({"data": ["a"]}, id="list of strings"),
        pytest.param(page("a", has_more=True), id="same page again"),
        pytest.param({"data": [{}], "has_more": True}, id="no id"),
        pytest.param({"data": [], "next_page_url": "/v2/x"}, id="no page in URL"),
    ],
)
def test_paginate_answer_that_is_no_page(
    answer: dict[str, Any], client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{BASE}/v1/prices", json=answer)

    with pytest.raises(APIError, match="GET /v1/prices"):
        list(client.paginate("/v1/prices"))

    assert len(stripe_api.calls) <= 2


def test_paginate_empty(
    client: StripeClient, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{BASE}/v1/prices", json=page(has_more=True))
    assert list(client.paginate("/v1/prices")) == []
