"""``create_portal_session`` leads a customer into the portal."""

from __future__ import annotations

from typing import Any

import pytest
import responses
from responses.matchers import urlencoded_params_matcher

from flask_kavach_stripe import NoCustomerError
from flask_kavach_stripe import PortalSession
from tests.vocabulary import PORTAL_PAGE
from tests.vocabulary import PORTAL_SESSION
from tests.vocabulary import PORTAL_SESSIONS


def test_portal_session(
    kept_shop: Any, user: Any, stripe_api: responses.RequestsMock
) -> None:
    body = {
        "customer": "cus_ada",
        "return_url": "https://a.example",
        "flow_data[type]": "subscription_cancel",
        "flow_data[subscription_cancel][subscription]": "sub_1",
        "locale": "de",
    }
    stripe_api.post(
        PORTAL_SESSIONS,
        json=PORTAL_SESSION,
        match=[urlencoded_params_matcher(body)],
    )

    session = kept_shop.kavach_stripe.create_portal_session(
        user,
        "https://a.example",
        flow_data={
            "type": "subscription_cancel",
            "subscription_cancel": {"subscription": "sub_1"},
        },
        locale="de",
    )

    assert session == PortalSession("bps_1", PORTAL_PAGE)


def test_portal_session_of_somebody_else(kept_shop: Any, user: Any) -> None:
    with pytest.raises(TypeError, match="'customer'"):
        kept_shop.kavach_stripe.create_portal_session(user, customer="cus_eve")


def test_portal_session_without_a_customer(kept_shop: Any, newcomer: Any) -> None:
    with pytest.raises(NoCustomerError, match="no Stripe customer"):
        kept_shop.kavach_stripe.create_portal_session(newcomer)
