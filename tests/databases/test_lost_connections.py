"""A server that crashes and comes back, while the app keeps its connections."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flask_kavach_stripe import Event
from tests import servers
from tests.conftest import Shop
from tests.databases.deliveries import Database
from tests.databases.deliveries import deliver
from tests.databases.deliveries import subscription_event as event

pytestmark = pytest.mark.servers


@pytest.fixture(params=["postgresql", "mariadb"])
def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[servers.Server]:
    """A server of the test's own: somebody else's is not restarted."""
    for name in ("TEST_POSTGRES_URL", "TEST_MARIADB_URL"):
        monkeypatch.delenv(name, raising=False)

    try:
        with getattr(servers, request.param)() as started:
            yield started
    except servers.ServerMissing as missing:
        missing.skip()


@pytest.fixture
def shop(request: pytest.FixtureRequest, server: servers.Server) -> Iterator[Shop]:
    """An app that notes each event, with connections in its pool."""
    shop = Database(request.node.callspec.params["server"], server.uri).make_shop()
    shop.add_user(id=1, email="ada@example.com", stripe_customer_id="cus_ada")
    assert deliver(shop, event("created")) == [200]
    shop.kavach_stripe.on("*")(lambda received: shop.note(received.id))
    yield shop
    shop.close()


def test_connection_that_was_lost_between_two_events(
    server: servers.Server, shop: Shop
) -> None:
    """Stripe sends the event again, and it finds a new connection."""
    server.restart()
    sent = event("updated", 10, price="price_new")
    assert [shop.post_event(sent).status_code for _ in range(2)] == [503, 200]
    assert shop.columns()["price_id"] == "price_new"
    assert shop.notes == [sent["id"]]


def test_connection_that_is_lost_while_handlers_run(
    server: servers.Server, shop: Shop
) -> None:
    """The columns stay, what the handler wrote is gone, and it runs again."""
    crashes = [server.restart]

    @shop.kavach_stripe.on("customer.subscription.updated")
    def crash(received: Event) -> None:
        shop.db.session.flush()

        if crashes:
            crashes.pop()()

    sent = event("updated", 10, price="price_new")
    assert shop.post_event(sent).status_code == 503
    assert shop.columns()["price_id"] == "price_new"
    assert shop.notes == []
    assert shop.post_event(sent).status_code == 200
    assert shop.notes == [sent["id"]]


def test_server_that_is_away(server: servers.Server, shop: Shop) -> None:
    server.crash()
    sent = event("updated", 10)
    assert [shop.post_event(sent).status_code for _ in range(2)] == [503, 503]
    server.start_again()
    assert shop.post_event(sent).status_code == 200
