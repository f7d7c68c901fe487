"""Without a good signature, nothing is taken: 400.

K1 to K22 number the bugs of KavachOS's plugin, which this extension is a port of.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.buyers import shown
from tests.vocabulary import event
from tests.vocabulary import sign
from tests.vocabulary import store_subscription
from tests.vocabulary import WEBHOOK
from tests.vocabulary import WEBHOOK_SECRET
from tests.webhook.endings import GOOD


@pytest.fixture
def shop(shop: Any) -> Any:
    """Ada has a subscription."""
    store_subscription(shop)
    return shop


def hexadecimal(header: str) -> str:
    return header.partition(",v1=")[2]


SIGNATURES: dict[str, Callable[[], str | None]] = {
    "missing": lambda: None,
    "empty": lambda: "",
    "blank": lambda: "  ",
    "word": lambda: "nonsense",
    "commas": lambda: ",,,,",
    "equal signs": lambda: "===,=,=",
    "timestamp alone": lambda: f"t={int(time.time())}",
    "v1 alone": lambda: f"v1={hexadecimal(sign(GOOD))}",
    "v0 for v1": lambda: sign(GOOD).replace("v1=", "v0="),
    "v2 for v1": lambda: sign(GOOD).replace("v1=", "v2="),
    "empty v1": lambda: f"t={int(time.time())},v1=",
    "upper case": lambda: sign(GOOD).replace(
        hexadecimal(sign(GOOD)), hexadecimal(sign(GOOD)).upper()
    ),
    "shortened": lambda: sign(GOOD)[:-1],
    "lengthened": lambda: sign(GOOD) + "0",
    "spaces": lambda: sign(GOOD).replace(",", ", "),
    "semicolon": lambda: sign(GOOD).replace(",", ";"),
    "item without =": lambda: sign(GOOD) + ",v1",
    "timestamp twice": lambda: f"t={int(time.time())},{sign(GOOD)}",
    "no number": lambda: re.sub("t=[0-9]+", "t=now", sign(GOOD)),
    "NaN": lambda: re.sub("t=[0-9]+", "t=NaN", sign(GOOD)),
    "negative": lambda: sign(GOOD).replace("t=", "t=-"),
    "plus": lambda: sign(GOOD).replace("t=", "t=+"),
    "underscore": lambda: re.sub("t=([0-9])", r"t=\1_", sign(GOOD)),
    "float": lambda: re.sub("t=([0-9]+)", r"t=\1.0", sign(GOOD)),
    "a thousand digits": lambda: re.sub("t=[0-9]+", "t=" + "1" * 1000, sign(GOOD)),
    "arabic digits": lambda: "t=\u0661\u0662,v1=0".encode().decode("latin-1"),
    "not ASCII": lambda: f"t={int(time.time())},v1=\xe9\xff",
    "NUL": lambda: sign(GOOD) + "\x00",
    "another secret": lambda: sign(GOOD, secret="whsec_other"),
    "empty secret": lambda: sign(GOOD, secret=""),
    "secret without prefix": lambda: sign(
        GOOD, secret=WEBHOOK_SECRET.removeprefix("whsec_")
    ),
    "of another body": lambda: sign(GOOD + b" "),
    "old": lambda: sign(GOOD, age=301 + 5),
    "future": lambda: sign(GOOD, age=-301 - 5),
    "from 1970": lambda: sign(GOOD, age=int(time.time())),
    "64 kilobytes": lambda: sign(GOOD) + ",v0=" + "0" * 65536 + ",",
    "50,000 signatures": lambda: sign(b"") + ",v1=0" * 50_000,
}


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.usefixtures("unchanged")
def test_odd_signature_is_a_400(shop: Any, name: str) -> None:
    header = SIGNATURES[name]()
    environ = {} if header is None else {"HTTP_STRIPE_SIGNATURE": header}
    answer = shop.app.test_client().post(WEBHOOK, data=GOOD, environ_overrides=environ)
    assert answer.status_code == 400
    assert answer.json["code"] == "invalid_signature"
    assert re.search("signature|timestamp", answer.json["error"])
    assert WEBHOOK_SECRET not in answer.text


@pytest.mark.parametrize(
    "timestamp", ["abc", "NaN", "", "1e9", "-1", "+1", " 1", "0x1", "٣", "Infinity"]
)
def test_timestamp_that_is_no_number_is_refused(kept_shop: Any, timestamp: str) -> None:
    """K22: text for a timestamp passed the check of its age.

    Whoever sent it knows the secret here.
    """
    body = json.dumps(event("created")).encode()
    prefix = f"{timestamp}.".encode()
    mac = hmac.new(WEBHOOK_SECRET.encode(), prefix + body, hashlib.sha256)
    header = f"t={timestamp},v1={mac.hexdigest()}"
    answer = kept_shop.app.test_client().post(
        WEBHOOK,
        data=body,
        headers={"Stripe-Signature": header.encode().decode("latin-1")},
    )
    assert answer.status_code == 400
    assert shown(kept_shop) is None
