"""All errors are of one family, and none shows a secret."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe import KavachStripeError
from flask_kavach_stripe.origins import UntrustedRedirect


def test_untrusted_redirect_is_one_of_our_errors() -> None:
    assert issubclass(UntrustedRedirect, KavachStripeError)


def test_password_in_the_base_url_is_not_shown(make_shop: Any) -> None:
    with pytest.raises(RuntimeError) as raised:
        make_shop(STRIPE_API_BASE="https://user:hunter2@proxy.example")

    assert "STRIPE_API_BASE" in str(raised.value)
    assert "hunter2" not in str(raised.value)
