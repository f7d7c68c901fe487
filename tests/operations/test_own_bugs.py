"""A bug during a command is named as one: no handler of the app's has raised."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import responses

from tests.vocabulary import expect_list
from tests.vocabulary import on_change
from tests.vocabulary import run
from tests.vocabulary import subscription
from tests.vocabulary import SUBSCRIPTIONS


@pytest.fixture
def broken_shop(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Where writing a subscription's row fails as no error of ours does."""

    def fail(*args: Any) -> None:
        raise ZeroDivisionError("a bug")

    rows = shop.app.extensions["kavach_stripe"].rows
    monkeypatch.setattr(rows, "write", fail)
    return shop


@pytest.mark.parametrize("arguments", [["sync"], ["sync", "--user", "1"]])
def test_bug_during_a_sync_is_no_error_of_a_handler(
    broken_shop: Any,
    stripe_api: responses.RequestsMock,
    caplog: pytest.LogCaptureFixture,
    arguments: list[str],
) -> None:
    on_change(broken_shop)(print)

    if "--user" in arguments:
        expect_list(stripe_api, subscription())
    else:
        stripe_api.get(SUBSCRIPTIONS, json={"object": "list", "data": [subscription()]})

    result = run(broken_shop, *arguments)
    assert result.exit_code == 1
    assert (
        "An unexpected ZeroDivisionError. The log has the traceback." in result.output
    )
    assert "handler" not in result.output
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert broken_shop.columns()["subscription_id"] is None


def test_error_of_a_handler_during_a_sync_is_the_handlers(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    @on_change(shop)
    def fail(user: Any, found: Any) -> None:
        raise ZeroDivisionError("a bug of the app")

    expect_list(stripe_api, subscription())
    result = run(shop, "sync", "--user", "1")
    assert result.exit_code == 1
    assert "A handler raised ZeroDivisionError" in result.output
    assert "unexpected" not in result.output
