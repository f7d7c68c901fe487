"""The ``Stripe-Signature`` header: what is accepted, and why not."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import pytest

from flask_kavach_stripe.errors import SignatureVerificationError
from flask_kavach_stripe.stripe_api.signatures import sign_payload
from flask_kavach_stripe.stripe_api.signatures import verify_signature

NOW = 1_800_000_000
PAYLOAD = b'{"id": "evt_1"}'
SECRET = "whsec_one"


def v1(payload: bytes = PAYLOAD, secret: str = SECRET, t: str = str(NOW)) -> str:
    """The signature by Stripe's recipe, written down once more on purpose."""
    signed = t.encode() + b"." + payload
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def verify(
    header: str | bytes | None,
    *,
    payload: bytes = PAYLOAD,
    secrets: list[str] | None = None,
    now: float = NOW,
    **options: Any,
) -> None:
    """Raise unless ``header`` is accepted at ``NOW`` with ``SECRET``."""
    verify_signature(payload, header, secrets or [SECRET], now=now, **options)


def test_known_signature() -> None:
    """Computed with ``openssl dgst -sha256 -hmac whsec_one``."""
    digest = "79496b1702e8707a8866fe5ee9979d55b4f49e8bbdef7cc98f0ca7d4f11ccf89"
    verify(f"t=1492774577,v1={digest}", now=1492774577)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(f"t={NOW},v1={v1()}", id="plain"),
        pytest.param(f"v1={v1()},t={NOW}", id="other order"),
        pytest.param(f"t={NOW},v1={v1()},v0=6ffbb59b", id="with the fake scheme"),
        pytest.param(f"t={NOW},v1={'0' * 64},v1={v1()}", id="second of two"),
        pytest.param(f"t={NOW},v1={v1()},v1={'0' * 64}", id="first of two"),
        pytest.param(f"t={NOW},v1=,v1=x,v1={v1()}", id="after malformed ones"),
        pytest.param(f"t={NOW},v2=new,x=,=,v1={v1()}", id="unknown items"),
        pytest.param(f"t={NOW},v1={v1()}".encode(), id="bytes"),
    ],
)
def test_signature_accepted(header: str | bytes) -> None:
    verify(header)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param(None, "signature.*missing", id="none"),
        pytest.param("", "signature.*missing", id="empty"),
        pytest.param(b"", "signature.*missing", id="empty bytes"),
        pytest.param("nonsense", "signature", id="nonsense"),
        pytest.param(f"t={NOW}", "no 'v1' signature", id="timestamp only"),
        pytest.param(f"v1={v1()}", "timestamp", id="signature only"),
        pytest.param(f"t={NOW},v0={v1()}", "no 'v1' signature", id="v0 only"),
        pytest.param(f"t={NOW},v2={v1()}", "no 'v1' signature", id="v2 only"),
        pytest.param(f"t={NOW},V1={v1()}", "no 'v1' signature", id="key in capitals"),
        pytest.param(f"t={NOW}, v1={v1()}", "no 'v1' signature", id="space in key"),
        pytest.param(f"t={NOW},v1= {v1()}", "signature matches", id="space in value"),
        pytest.param(f"t={NOW},v1={v1()} ", "signature matches", id="space after"),
        pytest.param(f"t={NOW},v1={v1().upper()}", "signature matches", id="capitals"),
        pytest.param(f"t={NOW},v1={v1()}=x", "signature matches", id="second equals"),
        pytest.param(f"t={NOW},v1={v1()[:-1]}", "signature matches", id="too short"),
        pytest.param(f"t={NOW},v1={v1()}0", "signature matches", id="too long"),
        pytest.param(f"t={NOW},v1=", "signature matches", id="blank signature"),
        pytest.param(f"t={NOW - 1},v1={v1()}", "signature matches", id="other time"),
        pytest.param(f"t={NOW},v1={v1()},", "signature.*without '='", id="last comma"),
        pytest.param(f"t={NOW},v1={v1()},x", "signature.*without '='", id="no equals"),
        pytest.param(f"t={NOW},v1", "signature.*without '='", id="v1 without equals"),
        pytest.param(f"t={NOW},v1=é", "signature.*ASCII", id="not ASCII"),
        pytest.param(f"t={NOW},v1={v1()},é=", "signature.*ASCII", id="unknown é"),
        pytest.param(f"t={NOW},v1=\ud800", "signature.*ASCII", id="surrogate"),
        pytest.param(f"t={NOW},v1={v1()},é=".encode(), "signature.*ASCII", id="bytes"),
        pytest.param(f"t={NOW},v1={v1()}\x00", "signature matches", id="zero byte"),
    ],
)
def test_signature_refused(header: str | bytes | None, reason: str) -> None:
    with pytest.raises(SignatureVerificationError, match=reason) as caught:
        verify(header)

    assert ("timestamp" in str(caught.value)) == (reason == "timestamp")


@pytest.mark.parametrize(
    "t",
    [
        pytest.param("", id="blank"),
        pytest.param(f"+{NOW}", id="sign"),
        pytest.param("-1", id="negative"),
        pytest.param(f" {NOW}", id="space"),
        pytest.param(f"{NOW}\n", id="line break"),
        pytest.param("1_800_000_000", id="underscores"),
        pytest.param(f"{NOW}.0", id="decimals"),
        pytest.param("1.8e9", id="exponent"),
        pytest.param("0x6B49D200", id="hexadecimal"),
        pytest.param("now", id="word"),
        pytest.param("1" * 13, id="13 digits"),
        pytest.param("1" * 5000, id="5000 digits"),
    ],
)
def test_malformed_timestamp_refused_though_signed(t: str) -> None:
    with pytest.raises(SignatureVerificationError, match="timestamp") as caught:
        verify(f"t={t},v1={v1(t=t)}")

    assert "signature" not in str(caught.value)


def test_two_timestamps_refused() -> None:
    """Which of the two was signed would be a guess."""
    with pytest.raises(SignatureVerificationError, match="one timestamp"):
        verify(f"t={NOW},t={NOW},v1={v1()}")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param("é".encode(), id="UTF-8"),
        pytest.param(b'{"a":1}\r\n', id="line break"),
    ],
)
def test_body_is_taken_as_bytes(payload: bytes) -> None:
    header = f"t={NOW},v1={v1(payload)}"
    verify(header, payload=payload)

    with pytest.raises(SignatureVerificationError, match="signature"):
        verify(header, payload=payload + b" ")


@pytest.mark.parametrize(
    ("age", "accepted"),
    [
        pytest.param(0, True, id="now"),
        pytest.param(300, True, id="300 old"),
        pytest.param(300.5, False, id="300.5 old"),
        pytest.param(301, False, id="301 old"),
        pytest.param(-300, True, id="300 early"),
        pytest.param(-301, False, id="301 early"),
        pytest.param(-315_360_000, False, id="10 years early"),
    ],
)
def test_timestamp_age(age: float, accepted: bool) -> None:
    header = f"t={NOW},v1={v1()}"

    if accepted:
        verify(header, now=NOW + age)
        return

    side = "old" if age > 0 else "in the future"

    with pytest.raises(SignatureVerificationError, match=f"timestamp .* {side}"):
        verify(header, now=NOW + age)


def test_timestamp_message_has_the_numbers() -> None:
    with pytest.raises(SignatureVerificationError, match="412 seconds old, more"):
        verify(f"t={NOW},v1={v1()}", now=NOW + 412)


def test_tolerance_is_an_argument() -> None:
    header = f"t={NOW},v1={v1()}"
    verify(header, now=NOW + 10, tolerance=10)

    with pytest.raises(SignatureVerificationError, match="timestamp"):
        verify(header, now=NOW + 11, tolerance=10)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan")])
def test_tolerance_cannot_turn_the_check_off(tolerance: int) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        verify(f"t={NOW},v1={v1()}", tolerance=tolerance)


def test_clock_that_is_not_a_number_accepts_nothing() -> None:
    with pytest.raises(SignatureVerificationError, match="timestamp"):
        verify(f"t={NOW},v1={v1()}", now=float("nan"))


def test_wrong_signature_is_reported_before_old_timestamp() -> None:
    """A stranger learns nothing about our clock."""
    with pytest.raises(SignatureVerificationError, match="signature"):
        verify(f"t=1,v1={'0' * 64}")


def test_any_secret_with_any_signature() -> None:
    header = f"t={NOW},v1={'0' * 64},v1={v1(secret='whsec_two')}"
    verify(header, secrets=["whsec_one", "whsec_two"])
    verify(header, secrets=["whsec_two", "whsec_one"])

    with pytest.raises(SignatureVerificationError, match="signature"):
        verify(header, secrets=["whsec_one", "whsec_three"])


@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", "\N{NO-BREAK SPACE}"])
def test_blank_secret_never_matches(blank: str) -> None:
    """Anybody can sign with an empty secret."""
    forged = sign_payload(PAYLOAD, blank, timestamp=NOW)

    with pytest.raises(SignatureVerificationError, match="STRIPE_WEBHOOK_SECRET"):
        verify(forged, secrets=[blank])

    with pytest.raises(SignatureVerificationError, match="signature"):
        verify(forged, secrets=[blank, SECRET])

    verify(f"t={NOW},v1={v1()}", secrets=[blank, SECRET])


def test_no_secret_accepts_nothing() -> None:
    with pytest.raises(SignatureVerificationError, match="signature"):
        verify_signature(PAYLOAD, f"t={NOW},v1={v1()}", [], now=NOW)


def test_single_string_is_not_a_list_of_secrets() -> None:
    """Its letters would be secrets, and a signature made with ``"w"`` would pass."""
    forged = sign_payload(PAYLOAD, "w", timestamp=NOW)

    with pytest.raises(TypeError, match="secrets"):
        verify_signature(PAYLOAD, forged, SECRET, now=NOW)


def test_secret_is_used_whole() -> None:
    """Neither the prefix nor a line break is taken off, nor is it base64."""
    for other in ("one", "whsec_one\n", "whsec_ONE"):
        with pytest.raises(SignatureVerificationError, match="signature"):
            verify(f"t={NOW},v1={v1(secret=other)}")


def test_secret_may_have_any_letters() -> None:
    verify(f"t={NOW},v1={v1(secret='ключ')}", secrets=["ключ"])


def test_secret_is_in_no_message() -> None:
    with pytest.raises(SignatureVerificationError) as caught:
        verify(f"t={NOW},v1=x")

    assert SECRET not in str(caught.value)
    assert v1() not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("t=1," + ",".join(["v1=abcdef"] * 100_000), id="many signatures"),
        pytest.param("," * 1_000_000, id="commas"),
        pytest.param("=" * 1_000_000, id="equals"),
        pytest.param("t=" + "1" * 1_000_000, id="digits"),
        pytest.param("t=1,v1=" + "a" * 1_000_000, id="one signature"),
    ],
)
def test_megabyte_of_header_is_refused_quickly(header: str) -> None:
    started = time.thread_time()

    with pytest.raises(SignatureVerificationError):
        verify(header)

    # Measured: 1 to 2 ms. Without a bound on the items: 50 ms and more.
    assert time.thread_time() - started < 0.02


def test_many_signatures_are_read() -> None:
    verify(f"t={NOW}," + f"v1={'0' * 64}," * 1000 + f"v1={v1()}")


def test_sign_payload() -> None:
    assert sign_payload(PAYLOAD, SECRET, timestamp=NOW) == f"t={NOW},v1={v1()}"


def test_sign_payload_takes_text_as_utf8() -> None:
    signed = sign_payload("é", SECRET, timestamp=NOW)
    assert signed == sign_payload("é".encode(), SECRET, timestamp=NOW)
    verify(signed, payload="é".encode())


def test_payload_is_signed_now_by_default() -> None:
    before = int(time.time())
    header = sign_payload(b"{}", "whsec_now")
    verify_signature(b"{}", header, ["whsec_now"], tolerance=5, now=before)
