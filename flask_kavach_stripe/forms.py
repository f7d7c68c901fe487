"""The body of a request to our endpoints, field by field.

A body is a JSON object or an HTML form with the same fields, all of them text. The
names of fields are KavachOS's, in camel case; snake case works, too.

``views`` reads the fields, ``billing.offers`` decides whether a browser may have what
they ask for. Both refuse with :exc:`RequestRefused`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from typing import Final

from flask import Request

from .errors import KavachStripeError

_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
_INTEGER = re.compile(r"-?[0-9]{1,9}", re.ASCII)
_UPPER = re.compile(r"[A-Z]")

# Stripe's limits for metadata. It allows 50 keys, and we add two for the user's mark.
# Source: https://docs.stripe.com/api/metadata
_MAX_METADATA_KEYS: Final = 48
_METADATA_KEY = re.compile(r"[^\[\]]{1,40}")
_MAX_METADATA_VALUE: Final = 500


class RequestRefused(KavachStripeError):
    """An endpoint refuses what a browser asked for.

    The blueprint's error handler answers with these three values.

    :param message: The sentence for the browser.
    :param code: What programs compare, such as ``"missing_field"``.
    :param status: The HTTP status.
    """

    def __init__(self, message: str, *, code: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Fields:
    """The fields of one request, read by type.

    Each method takes a name in camel case. It returns ``None`` if the field is missing,
    null or an empty text, as an HTML form sends for an input that was left blank. It
    raises :exc:`RequestRefused` if the field has a wrong type or value.

    :raises RequestRefused: If the body is neither a form nor a JSON object.
    """

    def __init__(self, request: Request) -> None:
        self.is_form: bool = request.mimetype in _FORM_TYPES
        self._values: Mapping[str, Any] = (
            request.form if self.is_form else _read_json(request.get_data())
        )

    def _get(self, name: str) -> Any:
        """A value as it was sent, by its name in camel case or in snake case."""
        snake_case = _UPPER.sub(lambda match: f"_{match[0].lower()}", name)
        value = self._values.get(name)
        value = self._values.get(snake_case) if value is None else value
        return None if value == "" else value

    def text(self, name: str) -> str | None:
        """A text of at most 5,000 characters, which is Stripe's limit."""
        value = self._get(name)

        if value is None:
            return None

        if not isinstance(value, str) or len(value) > 5000 or not _is_unicode(value):
            raise invalid_field(name, "a text")

        return value

    def name(self, name: str) -> str | None:
        """A text that names something, such as a price.

        Control characters, and the replacement character of a form that was not UTF-8,
        are refused here, as no name and no id of Stripe's has them.
        """
        value = self.text(name)

        if value is not None and (not value.isprintable() or "\ufffd" in value):
            raise invalid_field(name, "a text without control characters")

        return value

    def integer(self, name: str, *, minimum: int, maximum: int) -> int | None:
        """A whole number; in a form, its digits as text. ``true`` is no number."""
        value = self._get(name)

        if self.is_form and value is not None and _INTEGER.fullmatch(value):
            value = int(value)

        if value is None:
            return None

        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not minimum <= value <= maximum
        ):
            raise invalid_field(name, f"a whole number from {minimum} to {maximum}")

        return value

    def metadata(self, name: str) -> dict[str, str] | None:
        """Texts by key, within Stripe's limits. Only JSON can carry them."""
        value = self._get(name)

        if value is None:
            return None

        if not isinstance(value, dict) or len(value) > _MAX_METADATA_KEYS:
            raise invalid_field(name, f"an object of at most {_MAX_METADATA_KEYS} keys")

        for key, text in value.items():
            if not _METADATA_KEY.fullmatch(key) or not _is_unicode(key):
                raise invalid_field(name, "keys of 1 to 40 characters but '[' and ']'")

            if (
                not isinstance(text, str)
                or len(text) > _MAX_METADATA_VALUE
                or not _is_unicode(text)
            ):
                raise invalid_field(
                    f"{name}.{key}" if _is_unicode(key) else name,
                    f"a text of at most {_MAX_METADATA_VALUE} characters",
                )

        return value


def missing_field(name: str) -> RequestRefused:
    """The refusal of a body without a field that it needs."""
    return RequestRefused(f"The field '{name}' is missing.", code="missing_field")


def invalid_field(name: str, expected: str) -> RequestRefused:
    """The refusal of a field with a wrong value."""
    return RequestRefused(
        f"The field '{name}' must be {expected}.", code="invalid_field"
    )


def _read_json(body: bytes) -> Mapping[str, Any]:
    """The fields of a JSON body; an empty body has none.

    The ``Content-Type`` is not looked at: clients forget it, and a page of another site
    is recognised by :func:`.is_cross_site`, not by its missing header.

    :raises RequestRefused: If it is not a JSON object in UTF-8.
    """
    if not body:
        return {}

    try:
        value = json.loads(body.decode())
    except (RecursionError, ValueError):
        raise RequestRefused(
            "The body is not JSON in UTF-8.", code="invalid_json"
        ) from None

    if not isinstance(value, dict):
        raise RequestRefused("The body must be a JSON object.", code="invalid_json")

    return value


def _is_unicode(text: str) -> bool:
    """Whether the text has no lone surrogates.

    JSON can write them, ``"\\ud800"``, but they cannot be encoded as UTF-8, neither for
    Stripe nor for the database.
    """
    return not any("\ud800" <= character <= "\udfff" for character in text)
