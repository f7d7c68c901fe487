"""The ``STRIPE_*`` keys of ``app.config``, read and checked once, in ``init_app``.

One function per rule: each takes a key and its value and gives the checked value, or
raises :exc:`.ConfigurationError` with both. The two secrets are never in a message.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from types import MappingProxyType
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeGuard
from typing import TypeVar

from flask import Flask

from .errors import ConfigurationError
from .stripe_api.client import DEFAULT_API_VERSION
from .urls import is_path
from .urls import origin_of
from .urls import split_url
from .urls import UNSAFE

T = TypeVar("T")

logger: Final = logging.getLogger("flask_kavach_stripe")

#: Every key with the value it has when the app does not set it.
DEFAULTS: dict[str, Any] = {
    "STRIPE_SECRET_KEY": None,
    "STRIPE_WEBHOOK_SECRET": None,
    "STRIPE_API_VERSION": DEFAULT_API_VERSION,
    "STRIPE_API_BASE": "https://api.stripe.com",
    "STRIPE_URL_PREFIX": "/auth/stripe",
    "STRIPE_AUTO_CREATE_CUSTOMER": True,
    "STRIPE_PRICES": None,
    "STRIPE_TRIAL_DAYS": None,
    "STRIPE_SUCCESS_URL": None,
    "STRIPE_CANCEL_URL": None,
    "STRIPE_PORTAL_RETURN_URL": None,
    "STRIPE_TRUSTED_ORIGINS": None,
    "STRIPE_ACTIVE_STATUSES": ("active", "trialing"),
    "STRIPE_WEBHOOK_TOLERANCE": 300,
    "STRIPE_TIMEOUT": (3.05, 30),
    "STRIPE_MAX_NETWORK_RETRIES": 2,
    "STRIPE_SUBSCRIPTION_VIEW": None,
}

#: What Stripe accepts at most as ``trial_period_days``.
MAX_TRIAL_DAYS = 730

#: Statuses that may give access; the other two, ``canceled`` and
#: ``incomplete_expired``, are those of a subscription that has ended.
RUNNING_STATUSES = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete")

LIVE_KEY_PREFIXES = ("sk_live_", "rk_live_", "sk_org_")

#: ``None`` opens these to browsers with a test key and closes them with a live one.
ALLOW_LISTS = ("STRIPE_PRICES", "STRIPE_TRIAL_DAYS", "STRIPE_TRUSTED_ORIGINS")

_ANY_PRICE = "*"
#: ``2026-10-28.endive``; before 2024-09-30, versions had no name.
API_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?")
_VISIBLE_ASCII = re.compile(r"[!-~]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Price(NamedTuple):
    """A price that browsers may buy."""

    #: Stripe's id, ``price_...``.
    id: str

    #: Trial of a first subscription to this price, in days; ``None`` for that of
    #: ``STRIPE_TRIAL_DAYS``.
    trial_days: int | None


@dataclass(frozen=True)
class Settings:
    """The checked configuration of one app."""

    #: ``None`` if there is none: then the first call to Stripe fails.
    secret_key: str | None = field(repr=False)

    #: Empty if there is none: then every webhook is rejected.
    webhook_secrets: tuple[str, ...] = field(repr=False)

    api_version: str

    #: Without a slash at the end.
    api_base: str

    #: Without a slash at the end; empty for the root of the app.
    url_prefix: str

    auto_create_customer: bool

    #: By name; empty if ``STRIPE_PRICES`` names none.
    prices: Mapping[str, Price]

    #: Whether browsers may buy what is not in :attr:`prices`, too.
    any_price: bool

    #: As configured, in days. See :attr:`max_requested_trial_days`.
    trial_days: int | None

    success_url: str | None
    cancel_url: str | None
    portal_return_url: str | None

    #: As :func:`origin_of` writes them.
    trusted_origins: frozenset[str]

    #: Whether redirects may lead to every http(s) origin.
    any_redirect_origin: bool

    active_statuses: tuple[str, ...]

    #: Seconds, past and future.
    webhook_tolerance: int

    #: Seconds, one number or connect and read.
    timeout: float | tuple[float, float]

    max_network_retries: int
    subscription_view: str | None

    @classmethod
    def from_app(cls, app: Flask) -> Settings:
        """Read and check the configuration of ``app``, which gets the defaults of all
        keys it does not set.

        :raises ConfigurationError: If a value is wrong, or ``STRIPE_PRICES`` is not set
            although the key is a live one.
        """
        for key, default in DEFAULTS.items():
            app.config.setdefault(key, default)

        def read(key: str, check: Callable[[str, Any], T]) -> T:
            return check(key, app.config[key])

        secret_key = read("STRIPE_SECRET_KEY", _secret_key)
        live = _is_live(secret_key)
        unset = [key for key in ALLOW_LISTS if app.config[key] is None]

        if live and "STRIPE_PRICES" in unset:
            raise ConfigurationError(
                "'STRIPE_PRICES' is None, which a live key does not allow. Name the"
                " prices that browsers may buy, {'pro': 'price_...'}, or set it to '*'"
                " for every price of the account."
            )

        settings = cls(
            secret_key=secret_key,
            webhook_secrets=read("STRIPE_WEBHOOK_SECRET", _webhook_secrets),
            api_version=read("STRIPE_API_VERSION", _api_version),
            api_base=read("STRIPE_API_BASE", _api_base),
            url_prefix=read("STRIPE_URL_PREFIX", _url_prefix),
            auto_create_customer=read("STRIPE_AUTO_CREATE_CUSTOMER", _boolean),
            prices=read("STRIPE_PRICES", _prices),
            any_price=app.config["STRIPE_PRICES"] in (None, _ANY_PRICE),
            trial_days=read("STRIPE_TRIAL_DAYS", _trial_days),
            success_url=read("STRIPE_SUCCESS_URL", _url),
            cancel_url=read("STRIPE_CANCEL_URL", _url),
            portal_return_url=read("STRIPE_PORTAL_RETURN_URL", _url),
            trusted_origins=read("STRIPE_TRUSTED_ORIGINS", _origins),
            any_redirect_origin="STRIPE_TRUSTED_ORIGINS" in unset and not live,
            active_statuses=read("STRIPE_ACTIVE_STATUSES", _active_statuses),
            webhook_tolerance=read("STRIPE_WEBHOOK_TOLERANCE", _positive_integer),
            timeout=read("STRIPE_TIMEOUT", _timeout),
            max_network_retries=read("STRIPE_MAX_NETWORK_RETRIES", _natural_number),
            subscription_view=read("STRIPE_SUBSCRIPTION_VIEW", _endpoint),
        )

        if settings.livemode is False and unset:
            logger.warning(
                "The Stripe key is a test key, so what is not set lets browsers choose"
                " freely; a live key closes it. Not set: %s.",
                ", ".join(unset),
            )

        return settings

    @property
    def livemode(self) -> bool | None:
        """Whether the key is a live one; ``None`` without a key."""
        return None if self.secret_key is None else _is_live(self.secret_key)

    @property
    def max_requested_trial_days(self) -> int:
        """The longest trial that a browser may ask for, in days."""
        if self.trial_days is not None:
            return self.trial_days

        return 0 if self.livemode else MAX_TRIAL_DAYS

    @cached_property
    def price_names(self) -> Mapping[str, str]:
        """The names in :attr:`prices`, by price id."""
        return {price.id: name for name, price in self.prices.items()}


def _is_live(secret_key: str | None) -> bool:
    return secret_key is not None and secret_key.startswith(LIVE_KEY_PREFIXES)


def _wrong(key: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(f"'{key}' must be {expected}, not {value!r}.")


# --- secrets: no message below holds a value --------------------------------------


def _secret_key(key: str, value: Any) -> str | None:
    value = os.environ.get(key) if value is None else value

    if value is None:
        return None

    if not isinstance(value, str):
        raise ConfigurationError(f"'{key}' must be text.")

    value = value.strip()

    if value.startswith("pk_"):
        raise ConfigurationError(
            f"'{key}' is a publishable key (pk_...). Use the secret key, sk_... or"
            " rk_..., of the same page of Stripe's Dashboard."
        )

    if value.startswith("whsec_"):
        raise ConfigurationError(
            f"'{key}' is the signing secret of a webhook endpoint (whsec_...), which"
            " belongs in 'STRIPE_WEBHOOK_SECRET'."
        )

    if value and not _VISIBLE_ASCII.fullmatch(value):
        raise ConfigurationError(
            f"'{key}' holds white space, control or non-ASCII characters, which no"
            " Stripe key has. Copy it again."
        )

    return value or None


def _webhook_secrets(key: str, value: Any) -> tuple[str, ...]:
    secrets = _items(os.environ.get(key, "") if value is None else value)

    if secrets is None:
        raise ConfigurationError(f"'{key}' must be text or a list of texts.")

    if any(_SURROGATE.search(secret) for secret in secrets):
        raise ConfigurationError(f"'{key}' holds characters that are not UTF-8.")

    return secrets


# --- lists -------------------------------------------------------------------------


def _items(value: Any) -> tuple[str, ...] | None:
    """The items of a list or of comma-separated text, without blank ones, each once;
    ``None`` if it is neither."""
    if isinstance(value, str):
        value = value.split(",")

    if not isinstance(value, list | tuple | set | frozenset):
        return None

    if not all(isinstance(item, str) for item in value):
        return None

    return tuple(dict.fromkeys(item.strip() for item in value if item.strip()))


def _origins(key: str, value: Any) -> frozenset[str]:
    items = _items(() if value is None else value)

    if items is None:
        raise _wrong(key, value, "None, a list of origins or comma-separated text")

    return frozenset(_origin(key, item) for item in items)


def _origin(key: str, value: str) -> str:
    split = split_url(value)

    if split is None or split[1] not in ("", "/"):
        raise _wrong(key, value, "made of origins such as 'https://app.example.com'")

    return split[0]


def _active_statuses(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _wrong(key, value, "a list of at least one status")

    for status in value:
        if status not in RUNNING_STATUSES:
            raise _wrong(
                key,
                status,
                f"made of {', '.join(RUNNING_STATUSES)} (others give no access)",
            )

    return tuple(dict.fromkeys(value))


# --- prices and trials --------------------------------------------------------------


def _prices(key: str, value: Any) -> Mapping[str, Price]:
    if value is None or value == _ANY_PRICE:
        return MappingProxyType({})

    if not isinstance(value, Mapping):
        raise _wrong(key, value, "None, '*' or a dict of names and prices")

    prices: dict[str, Price] = {}

    for name, entry in value.items():
        if not isinstance(name, str) or not name or UNSAFE.search(name):
            raise _wrong(key, name, "a dict whose names are texts")

        prices[name] = _price(f"{key}[{name}]", entry)

    # `subscription_required` takes names and ids, and a subscription knows its name by
    # its price's id: each text may mean one price only.
    owners: dict[str, str] = {}

    for name, price in prices.items():
        for text in (name, price.id):
            if owners.setdefault(text, name) != name:
                raise ConfigurationError(
                    f"'{key}' uses {text!r} for both {owners[text]!r} and {name!r}."
                )

    return MappingProxyType(prices)


def _price(key: str, value: Any) -> Price:
    if isinstance(value, str):
        value = {"price": value}

    if not isinstance(value, Mapping):
        raise _wrong(key, value, "a price id or a dict with 'price' and 'trial_days'")

    unknown = value.keys() - {"price", "trial_days"}

    if unknown or "price" not in value:
        raise _wrong(key, value, "a dict with 'price' and, if wanted, 'trial_days'")

    price_id = value["price"]

    if not isinstance(price_id, str) or not _VISIBLE_ASCII.fullmatch(price_id):
        raise _wrong(key, price_id, "a price id, 'price_...'")

    return Price(price_id, _trial_days(key, value.get("trial_days")))


def _trial_days(key: str, value: Any) -> int | None:
    if value is None:
        return None

    if not _is_integer(value) or not 0 <= value <= MAX_TRIAL_DAYS:
        raise _wrong(key, value, f"None or days from 0 to {MAX_TRIAL_DAYS}")

    return value


# --- URLs ----------------------------------------------------------------------------


def _api_base(key: str, value: Any) -> str:
    split = split_url(value) if isinstance(value, str) else None

    if split is None or re.search(r"[?#\s]", split[1]):
        shown = re.sub("//[^/]*@", "//***@", value) if isinstance(value, str) else value
        raise _wrong(key, shown, "an http(s) URL without user name and query")

    return str(value).rstrip("/")


def _url_prefix(key: str, value: Any) -> str:
    # "<" would make it a rule with variables, which our views do not take.
    if not isinstance(value, str) or not is_path(value) or re.search(r"[?#<\s]", value):
        raise _wrong(key, value, "a path that begins with one '/'")

    return value.rstrip("/")


def _url(key: str, value: Any) -> str | None:
    if value is None:
        return None

    if not isinstance(value, str) or not (is_path(value) or origin_of(value)):
        raise _wrong(key, value, "None, a path that begins with one '/' or a URL")

    return value


# --- the rest ------------------------------------------------------------------------


def _api_version(key: str, value: Any) -> str:
    if not isinstance(value, str) or not API_VERSION.fullmatch(value):
        raise _wrong(key, value, "a version such as '2026-10-28.endive'")

    return value


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, value, "True or False")

    return value


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _positive_integer(key: str, value: Any) -> int:
    if not _is_integer(value) or value <= 0:
        raise _wrong(key, value, "an integer greater than 0")

    return value


def _natural_number(key: str, value: Any) -> int:
    if not _is_integer(value) or value < 0:
        raise _wrong(key, value, "an integer of at least 0")

    return value


def _timeout(key: str, value: Any) -> float | tuple[float, float]:
    if _is_duration(value):
        return value

    if isinstance(value, list | tuple) and len(value) == 2:
        connect, read = value

        if _is_duration(connect) and _is_duration(read):
            return connect, read

    raise _wrong(key, value, "seconds greater than 0, or two such: connect, read")


def _is_duration(value: Any) -> TypeGuard[float]:
    return (_is_integer(value) or isinstance(value, float)) and 0 < value < math.inf


def _endpoint(key: str, value: Any) -> str | None:
    if value is None:
        return None

    if not isinstance(value, str) or not value or UNSAFE.search(value):
        raise _wrong(key, value, "None or the name of an endpoint")

    return value
