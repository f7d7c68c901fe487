"""Form-encoded parameters: from ``a[b][0][c]=1`` to checked Python values.

Decoding knows nothing of the parameters and makes nested dicts of strings. A *spec*
(name to reader) then says what a call accepts, as Stripe does: what is not in it is an
unknown parameter. An empty value means "unset" and is read as ``None``.

A *reader* takes a decoded value and its path (``items[0][price]``), and returns a
Python value or raises an ``invalid_request_error`` with that path as its ``param``.
Stripe's parameters fall into four groups here: simulated ones have a reader of their
type; :func:`ignored` ones only change how things look; :func:`refused` ones move money,
or decide when it moves, and are not simulated; :func:`removed` ones are of older API
versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .sandbox_errors import ApiError
from .sandbox_errors import not_simulated
from .sandbox_errors import parameter_empty
from .sandbox_errors import parameter_missing
from .sandbox_errors import parameter_unknown

Reader = Callable[[Any, str], Any]
Spec = Mapping[str, Reader]

MAX_DEPTH = 8
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_EMAIL = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)+")
_POSITION = re.compile(r"[0-9]{1,4}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,4})?", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,15}", re.ASCII)


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return nested dicts; a list is a dict with positions as its keys.

    :param pairs: Names and values, decoded from the body or the query string.
    :raises ApiError: If a key is malformed, or is a value here and a mapping there.
    """
    result: dict[str, Any] = {}

    for key, value in pairs:
        match = _KEY.fullmatch(key)
        parts = [] if match is None else [match[1], *re.findall(r"\[(.*?)\]", match[2])]

        if not parts or len(parts) > MAX_DEPTH:
            raise ApiError(f"Invalid parameter name: {key[:100]}")

        target = result

        for part in parts[:-1]:
            target = target.setdefault(part or str(len(target)), {})

            if not isinstance(target, dict):
                raise ApiError(f"Invalid hash: {key[:100]}", param=parts[0])

        last = parts[-1] or str(len(target))

        if isinstance(target.get(last), dict):
            raise ApiError(f"Invalid string: {key[:100]}", param=parts[0])

        target[last] = value

    return result


def read(
    params: Mapping[str, Any],
    spec: Spec,
    *,
    required: Iterable[str] = (),
    path: str = "",
) -> dict[str, Any]:
    """Check ``params`` against ``spec`` and return the values that were sent.

    A parameter that was not sent is not in the result; one that was sent empty is there
    with ``None``, so an update can tell the two apart.

    :param required: Names that must be there and must not be empty.
    :param path: Where this mapping stands: ``subscription_data``, ``items[0]``.
    :raises ApiError: ``parameter_unknown``, ``parameter_missing`` or
        ``parameter_invalid_empty``, or as a reader raises it.
    """

    def where(name: str) -> str:
        """Return the parameter's full name, with brackets."""
        return f"{path}[{name}]" if path else name

    if unknown := [where(name) for name in params if name not in spec]:
        raise parameter_unknown(*unknown)

    result = {name: spec[name](value, where(name)) for name, value in params.items()}

    for name in required:
        if name in params and params[name] == "":
            raise parameter_empty(where(name))

        if result.get(name) is None:
            raise parameter_missing(where(name))

    return result


def _scalar(value: Any, path: str) -> str:
    """Return a value that is no mapping.

    :raises ApiError: If it is one.
    """
    if not isinstance(value, str):
        raise ApiError(f"Invalid string: {path}", param=path)

    return value


def text(max_length: int = 5000) -> Reader:
    """Read a string of at most ``max_length`` characters."""

    def reader(value: Any, path: str) -> str | None:
        string = _scalar(value, path)

        if len(string) > max_length:
            raise ApiError(
                f"Invalid string: {string[:20]}...; must be at most {max_length}"
                " characters",
                param=path,
            )

        return string or None

    return reader


def email(value: Any, path: str) -> str | None:
    """Read an e-mail address: no spaces, and a domain with a dot.

    :raises ApiError: ``email_invalid`` for anything else.
    """
    string = _scalar(value, path)

    if string and (len(string) > 512 or not _EMAIL.fullmatch(string)):
        raise ApiError(
            f"Invalid email address: {string[:80]}", code="email_invalid", param=path
        )

    return string or None


def cursor(value: Any, path: str) -> str:
    """Read the id at which a page of a list begins or ends; it cannot be empty."""
    string = _scalar(value, path)

    if not string:
        raise parameter_empty(path)

    return string


def url(value: Any, path: str) -> str | None:
    """Read an http(s) URL with a host.

    :raises ApiError: ``url_invalid`` for anything else.
    """
    string = _scalar(value, path)

    if not string:
        return None

    try:
        parts = urlsplit(string)
    except ValueError:
        parts = None

    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise ApiError("Not a valid URL", code="url_invalid", param=path)

    return string


def integer(minimum: int | None = None, maximum: int | None = None) -> Reader:
    """Read a whole number, for amounts in the currency's smallest unit.

    The error is ``parameter_invalid_integer``, also for ``9.99``.
    """

    def reader(value: Any, path: str) -> int | None:
        string = _scalar(value, path)

        if not string:
            return None

        if not _INTEGER.fullmatch(string):
            raise ApiError(
                f"Invalid integer: {string[:40]}",
                code="parameter_invalid_integer",
                param=path,
            )

        number = int(string)

        if (minimum is not None and number < minimum) or (
            maximum is not None and number > maximum
        ):
            raise ApiError(
                f"Invalid integer: {number} is outside {minimum} to {maximum}",
                code="parameter_invalid_integer",
                param=path,
            )

        return number

    return reader


def decimal(minimum: int, maximum: int) -> Reader:
    """Read a number with at most four places.

    :param minimum: It must be more than this.
    """

    def reader(value: Any, path: str) -> float | None:
        string = _scalar(value, path)

        if not string:
            return None

        if not _DECIMAL.fullmatch(string) or not minimum < float(string) <= maximum:
            raise ApiError(
                f"Invalid decimal: {string[:40]}; must be more than {minimum} and at"
                f" most {maximum}",
                param=path,
            )

        return float(string)

    return reader


timestamp: Reader = integer(0, 99_999_999_999)


def boolean(value: Any, path: str) -> bool | None:
    """Read ``true`` or ``false``, the only two spellings that Stripe takes."""
    string = _scalar(value, path)

    if not string:
        return None

    if string not in ("true", "false"):
        raise ApiError(f"Invalid boolean: {string[:40]}", param=path)

    return string == "true"


def choice(*values: str) -> Reader:
    """Read one of some words."""

    def reader(value: Any, path: str) -> str | None:
        string = _scalar(value, path)

        if string and string not in values:
            raise ApiError(
                f"Invalid {path}: must be one of {', '.join(values)}", param=path
            )

        return string or None

    return reader


def either(*readers: Reader) -> Reader:
    """Read with the first reader that accepts the value.

    If none does, the error of the last reader is raised.
    """

    def reader(value: Any, path: str) -> Any:
        for first in readers[:-1]:
            try:
                return first(value, path)
            except ApiError:
                continue

        return readers[-1](value, path)

    return reader


def mapping(spec: Spec, *, required: Iterable[str] = ()) -> Reader:
    """Read a mapping by a spec of its own.

    :param required: Names that must be there if the mapping is.
    """

    def reader(value: Any, path: str) -> dict[str, Any] | None:
        if value == "":
            return None

        if not isinstance(value, dict):
            raise ApiError("Invalid object", param=path)

        return read(value, spec, required=required, path=path)

    return reader


def array(item: Reader, *, limit: int = 100) -> Reader:
    """Read a list: positions in brackets, in any order, with or without gaps.

    :param item: Reads each entry.
    :param limit: How many entries there may be.
    """

    def reader(value: Any, path: str) -> list[Any] | None:
        if value == "":
            return None

        if not isinstance(value, dict) or not all(
            _POSITION.fullmatch(key) for key in value
        ):
            raise ApiError("Invalid array", param=path)

        if len(value) > limit:
            raise ApiError(f"Invalid array: at most {limit} entries", param=path)

        return [item(value[key], f"{path}[{key}]") for key in sorted(value, key=int)]

    return reader


def metadata(value: Any, path: str) -> dict[str, str] | None:
    """Up to 50 pairs. An empty value removes its key, an empty ``metadata`` all.

    Source: https://docs.stripe.com/metadata
    """
    if value == "":
        return None

    if not isinstance(value, dict):
        raise ApiError("Invalid hash", param=path)

    for key, entry in value.items():
        if not isinstance(entry, str) or len(entry) > 500 or len(key) > 40:
            raise ApiError(
                "Metadata keys have at most 40 characters, values are strings of at"
                " most 500.",
                param=f"{path}[{key[:40]}]",
            )

    return value


def merge_metadata(old: dict[str, str], new: dict[str, str] | None) -> dict[str, str]:
    """Return the metadata after an update.

    :raises ApiError: If there are more than 50 keys.
    """
    if new is None:
        return {}

    merged = {key: value for key, value in {**old, **new}.items() if value != ""}

    if len(merged) > 50:
        raise ApiError("Metadata can have at most 50 keys.", param="metadata")

    return merged


def ignored(value: Any, path: str) -> Any:
    """Accepted without effect: it changes how things look, not what happens."""
    return value


def refused(value: Any, path: str) -> Any:
    """Refuse a parameter of Stripe's that the sandbox does not simulate.

    :raises ApiError: ``sandbox_not_simulated``: better no answer than a wrong one.
    """
    raise not_simulated(path)


def removed(value: Any, path: str) -> Any:
    """Refuse a parameter that the newest version of the API no longer takes.

    :raises ApiError: ``parameter_unknown``. Calls of an older version lose the
        parameter before, in :mod:`.versions.upgrades`.
    """
    raise parameter_unknown(path)


time_range: Reader = either(
    timestamp,
    mapping({name: timestamp for name in ("gt", "gte", "lt", "lte")}),
)


def in_range(value: int | None, wanted: int | dict[str, int] | None) -> bool:
    """Does a time match what :func:`time_range` read?"""
    if wanted is None:
        return True

    if value is None:
        return False

    if isinstance(wanted, int):
        return value == wanted

    return (
        value > wanted.get("gt", value - 1)
        and value >= wanted.get("gte", value)
        and value < wanted.get("lt", value + 1)
        and value <= wanted.get("lte", value)
    )


LIST_SPEC: Spec = {
    "limit": integer(1, 100),
    "starting_after": cursor,
    "ending_before": cursor,
    "include": array(choice("total_count")),
}
