"""``flask stripe webhook`` registers the endpoint, and lists them (docs/cli.rst)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses
from stripe.params import WebhookEndpointCreateParams

from flask_kavach_stripe.events.effects import EFFECTS
from flask_kavach_stripe.sandbox import Clock
from flask_kavach_stripe.sandbox import Sandbox
from flask_kavach_stripe.testing.sandbox import connect
from tests.vocabulary import API
from tests.vocabulary import doctor
from tests.vocabulary import run
from tests.vocabulary import WEBHOOK

URL = f"https://shop.example{WEBHOOK}"


@pytest.fixture
def shop(make_shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("STRIPE_WEBHOOK_SECRET", raising=False)
    return make_shop(STRIPE_WEBHOOK_SECRET=None)


@pytest.fixture
def sandbox(shop: Any) -> Iterator[Sandbox]:
    with connect(shop.app, Sandbox(clock=Clock())) as sandbox:
        yield sandbox


def endpoints(shop: Any) -> list[Any]:
    """Those with the URL of the shop."""
    client = shop.app.extensions["kavach_stripe"].client
    found = client.paginate("/v1/webhook_endpoints", {"limit": 100})
    return [endpoint for endpoint in found if endpoint["url"] == URL]


# -- create ----------------------------------------------------------------------------


def test_create_registers_what_the_app_handles(shop: Any, sandbox: Sandbox) -> None:
    shop.kavach_stripe.on("invoice.paid", "customer.deleted")(print)
    result = run(shop, "webhook", "create", URL)

    assert result.exit_code == 0
    (endpoint,) = endpoints(shop)
    assert endpoint["enabled_events"] == sorted([*EFFECTS, "invoice.paid"])
    assert endpoint["api_version"] == "2026-10-28.endive"
    assert endpoint["status"] == "enabled"
    assert f"Created {endpoint['id']}, API version 2026-10-28.endive, for 9 events" in (
        result.stderr
    )


def test_create_prints_the_secret_as_a_line_for_env(
    shop: Any, sandbox: Sandbox
) -> None:
    """It is all of the standard output."""
    result = run(shop, "webhook", "create", URL)
    (endpoint,) = endpoints(shop)
    secret = sandbox._account.store.hidden[endpoint["id"]]["secret"]

    assert secret.startswith("whsec_")
    assert result.stdout == f"STRIPE_WEBHOOK_SECRET={secret}\n"
    assert secret not in result.stderr


def test_doctor_likes_what_create_made(shop: Any, sandbox: Sandbox) -> None:
    run(shop, "webhook", "create", URL)
    found = doctor(shop)

    assert found["webhook endpoint"] == ("ok", f"{URL} is enabled.")
    assert found["webhook events"] == ("ok", "All 8 that are needed are sent.")
    assert {verdict for verdict, _ in found.values()} == {"ok"}


def test_create_with_a_handler_of_everything(shop: Any, sandbox: Sandbox) -> None:
    shop.kavach_stripe.on("*", "invoice.*")(print)

    assert run(shop, "webhook", "create", URL).exit_code == 0
    assert endpoints(shop)[0]["enabled_events"] == ["*"]


def test_create_with_a_pattern_wants_names(shop: Any, sandbox: Sandbox) -> None:
    shop.kavach_stripe.on("invoice.*")(print)
    result = run(shop, "webhook", "create", URL, "--event", "charge.refunded")

    assert result.exit_code == 1
    assert "A handler is on 'invoice.*'" in result.stderr
    assert "'--event invoice.paid'" in result.stderr
    assert endpoints(shop) == []


@pytest.mark.parametrize("pattern", ["invoice.*", "*"])
def test_create_with_names_for_a_pattern(
    pattern: str, shop: Any, sandbox: Sandbox
) -> None:
    shop.kavach_stripe.on(pattern)(print)
    names = ["invoice.paid", "invoice.voided"]
    result = run(shop, "webhook", "create", URL, *(f"--event={name}" for name in names))

    assert result.exit_code == 0
    assert endpoints(shop)[0]["enabled_events"] == sorted([*EFFECTS, *names])


def test_create_refuses_a_second_one(shop: Any, sandbox: Sandbox) -> None:
    run(shop, "webhook", "create", URL)
    (endpoint,) = endpoints(shop)
    result = run(shop, "webhook", "create", URL)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"There is {endpoint['id']} with this URL" in result.stderr
    assert run(shop, "webhook", "create", URL, "--force").exit_code == 0
    assert len(endpoints(shop)) == 2


def test_create_says_that_the_path_is_another_one(shop: Any, sandbox: Sandbox) -> None:
    result = run(
        shop, "webhook", "create", "https://shop.example/api/auth/stripe/webhook"
    )

    assert result.exit_code == 0
    assert f"the webhook of this app is at {WEBHOOK}, another path" in result.stderr
    assert "another path" not in run(shop, "webhook", "create", URL).stderr


def test_create_says_that_there_is_a_secret(make_shop: Any) -> None:
    shop = make_shop()

    with connect(shop.app, Sandbox()):
        result = run(shop, "webhook", "create", URL)

    assert "'STRIPE_WEBHOOK_SECRET' is set already." in result.stderr


@pytest.mark.parametrize(
    ("key", "url", "message"),
    [
        ("sk_test_1", WEBHOOK, "is no absolute URL"),
        ("sk_test_1", "shop.example", "is no absolute URL"),
        ("sk_test_1", "ftp://shop.example/", "is no absolute URL"),
        ("sk_test_1", "https:///path", "is no absolute URL"),
        ("sk_test_1", "https://[::1", "Invalid IPv6 URL"),
        ("sk_live_1", f"http://shop.example{WEBHOOK}", "https only"),
    ],
)
def test_create_refuses_a_url(
    key: str,
    url: str,
    message: str,
    make_shop: Any,
    stripe_api: responses.RequestsMock,
) -> None:
    result = run(make_shop(STRIPE_SECRET_KEY=key), "webhook", "create", url)

    assert result.exit_code == 2
    assert message in result.stderr


def test_create_tells_what_stripe_says(
    shop: Any, stripe_api: responses.RequestsMock
) -> None:
    stripe_api.get(f"{API}/webhook_endpoints", json={"data": [], "has_more": False})
    stripe_api.post(
        f"{API}/webhook_endpoints",
        json={"error": {"message": "Invalid URL: it must be public"}},
        status=400,
    )
    result = run(shop, "webhook", "create", "http://localhost:5000" + WEBHOOK)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Invalid URL: it must be public" in result.stderr


def test_our_events_are_those_that_stripe_takes() -> None:
    """By the types of Stripe's own package."""
    types = str(WebhookEndpointCreateParams.__annotations__["enabled_events"])

    assert "'invoice.paid'" in types
    assert [each for each in EFFECTS if f"'{each}'" not in types] == []


# -- list ------------------------------------------------------------------------------


def make_endpoint(**values: Any) -> dict[str, Any]:
    return {
        "id": "we_1",
        "status": "enabled",
        "api_version": "2026-10-28.endive",
        "enabled_events": ["invoice.paid"],
        "url": URL,
        **values,
    }


def answer(mock: responses.RequestsMock, *found: dict[str, Any]) -> None:
    mock.get(f"{API}/webhook_endpoints", json={"data": list(found), "has_more": False})


def test_list_is_a_table(shop: Any, stripe_api: responses.RequestsMock) -> None:
    answer(
        stripe_api,
        make_endpoint(),
        make_endpoint(
            id="we_22",
            status="disabled",
            api_version=None,
            enabled_events=["*"],
            url="https://user:password@other.example/hook?token=secret",
        ),
        make_endpoint(id="we_3", enabled_events=None, url=None),
    )
    result = run(shop, "webhook", "list")

    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "   ID     STATUS    API VERSION        EVENTS  URL",
        f"*  we_1   enabled   2026-10-28.endive  1       {URL}",
        "   we_22  disabled  default            all     https://other.example/hook",
        "   we_3   enabled   2026-10-28.endive  ?       ?",
    ]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([], id="none at all"),
        pytest.param([make_endpoint(url="https://a.example/")], id="another app's"),
    ],
)
def test_list_without_an_endpoint_of_this_app(
    found: list[Any], shop: Any, stripe_api: responses.RequestsMock
) -> None:
    answer(stripe_api, *found)
    result = run(shop, "webhook", "list")

    assert result.exit_code == 0
    assert result.stderr == (
        f"None leads to {WEBHOOK}. Add one with 'flask stripe webhook create URL'.\n"
    )


# -- refusals --------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["list"], ["create", URL]])
@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "Copy it again from Stripe's Dashboard."), (403, "Give it the permission")],
)
def test_command_that_stripe_refuses(
    status: int,
    advice: str,
    command: list[str],
    shop: Any,
    stripe_api: responses.RequestsMock,
) -> None:
    stripe_api.get(
        f"{API}/webhook_endpoints", json={"error": {"message": "No"}}, status=status
    )
    result = run(shop, "webhook", *command)

    assert result.exit_code == 1
    assert advice in result.stderr


@pytest.mark.parametrize("command", [["list"], ["create", URL]])
def test_command_without_a_key(
    command: list[str], make_shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY", raising=False)
    result = run(make_shop(STRIPE_SECRET_KEY=None), "webhook", *command)

    assert result.exit_code == 1
    assert "Error: 'STRIPE_SECRET_KEY' is not set." in result.stderr
