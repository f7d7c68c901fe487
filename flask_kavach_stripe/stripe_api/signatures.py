"""Sign and verify the ``Stripe-Signature`` header: the first step of every webhook.

A header is ``t=1492774577,v1=5257a8...,v0=6ffbb5...``: items of a key, ``=`` and a
value, joined by commas. ``t`` is the Unix time of this delivery. Each ``v1`` is the
lower-case hexadecimal HMAC-SHA256 of ``t``, a dot and the body. While a secret is being
rolled there are several ``v1``, one for each secret.

Source: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Sequence

from ..errors import SignatureVerificationError

#: Stripe's default: the largest age of a timestamp, in seconds.
DEFAULT_TOLERANCE = 300

# Stripe sends three or four. Without a bound, a header of a megabyte would cost us
# a hundred thousand comparisons.
_MAX_ITEMS = 1024
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")


def verify_signature(
    payload: bytes,
    header: str | bytes | None,
    secrets: Sequence[str],
    *,
    tolerance: int = DEFAULT_TOLERANCE,
    now: float,
) -> None:
    """Check that Stripe sent ``payload``, and that it did so just now.

    :param payload: The raw request body. Parsing and dumping it again changes the
        bytes and breaks the signature.
    :param header: The value of ``Stripe-Signature``.
    :param secrets: The signing secrets, with their ``whsec_``. It is enough if one of
        them matches. A blank one never matches.
    :param tolerance: Largest accepted difference between the timestamp and ``now``, in
        seconds, in the past or in the future.
    :param now: The current Unix time, in seconds.
    :raises SignatureVerificationError: If the header is missing or malformed, no
        ``v1`` signature matches, or the timestamp is too far away. The message has the
        word ``signature`` or ``timestamp``, depending on which of them is wrong.
    :raises TypeError: If ``secrets`` is a single string. Each of its letters would
        count as a secret, and anybody can sign with a letter.
    :raises ValueError: If ``tolerance`` is not more than 0.

    Source: https://docs.stripe.com/webhooks#verify-manually

    .. versionadded:: 0.1
    """
    if isinstance(secrets, (str, bytes)):
        raise TypeError("'secrets' must be a sequence of strings, not one string.")

    if not tolerance > 0:
        raise ValueError(f"'tolerance' must be more than 0, not {tolerance!r}.")

    timestamp, signatures = _parse(header)
    expected = [
        _compute(payload, secret, timestamp) for secret in secrets if secret.strip()
    ]

    if not expected:
        raise SignatureVerificationError(
            "There is no signing secret to check the signature with:"
            " 'STRIPE_WEBHOOK_SECRET' is not set."
        )

    if not any(
        hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures
    ):
        raise SignatureVerificationError(
            "No 'v1' signature matches. The signing secret may be another endpoint's,"
            " or the body is not as Stripe sent it."
        )

    age = now - int(timestamp)

    if not abs(age) <= tolerance:  # also true if 'now' is not a number
        raise SignatureVerificationError(
            f"The timestamp is {abs(age):.0f} seconds"
            f" {'old' if age > 0 else 'in the future'}, more than {tolerance}."
        )


def sign_payload(
    payload: bytes | str, secret: str, *, timestamp: int | None = None
) -> str:
    """Make the ``Stripe-Signature`` header that Stripe would send with ``payload``.

    :param payload: The request body; text is encoded as UTF-8.
    :param secret: The signing secret, with its ``whsec_``.
    :param timestamp: The time of the delivery, in Unix seconds; by default now.
    :return: The value of the header, with one ``v1`` signature.

    .. versionadded:: 0.1
    """
    if isinstance(payload, str):
        payload = payload.encode()

    if timestamp is None:
        timestamp = int(time.time())

    signature = _compute(payload, secret, b"%d" % timestamp)
    return f"t={timestamp},v1={signature.decode()}"


def _compute(payload: bytes, secret: str, timestamp: bytes) -> bytes:
    """Return the ``v1`` signature of a body, as lower-case hexadecimal ASCII."""
    mac = hmac.new(secret.encode(), timestamp + b".", hashlib.sha256)
    mac.update(payload)
    return mac.hexdigest().encode()


def _parse(header: str | bytes | None) -> tuple[bytes, list[bytes]]:
    """Split a header into its timestamp and its ``v1`` signatures.

    The timestamp stays as it was sent: Stripe signed these characters.

    :raises SignatureVerificationError: If there is no header, an item is malformed, or
        there is not exactly one timestamp and at least one ``v1``.
    """
    if not header:
        raise SignatureVerificationError(
            "There is no signature: the 'Stripe-Signature' header is missing."
        )

    if not header.isascii():
        raise SignatureVerificationError("The signature header is not ASCII.")

    raw = header.encode() if isinstance(header, str) else header

    if raw.count(b",") >= _MAX_ITEMS:
        raise SignatureVerificationError(
            f"The signature header has more than {_MAX_ITEMS} items."
        )

    timestamps = []
    signatures = []

    for item in raw.split(b","):
        key, separator, value = item.partition(b"=")

        if not separator:
            raise SignatureVerificationError(
                "The signature header has an item without '='."
            )

        if key == b"t":
            timestamps.append(value)
        elif key == b"v1":  # no other: an attacker must not choose the scheme
            signatures.append(value)

    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]):
        raise SignatureVerificationError(
            "The header needs one timestamp, 't=' and Unix seconds."
        )

    if not signatures:
        raise SignatureVerificationError("The header has no 'v1' signature.")

    return timestamps[0], signatures
