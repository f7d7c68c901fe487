"""The ``STRIPE_*`` keys of ``app.config``, read and checked once, in ``init_app``.

A wrong value stops the start of the app, not the first payment. Everything after the
start works with :class:`Settings` and never reads ``app.config`` again.

One function per rule: each takes a key and its value and returns the checked value, or
raises :exc:`.ConfigurationError` with the key, the value and what is allowed. Messages
about the two secrets name the key alone.

What each key means to an app is in ``docs/configuration.rst``.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from difflib import get_close_matches
from functools import cached_property
from typing import Any
from typing import Final
from typing import TypeGuard
from typing import TypeVar

from flask import Flask

from .catalogue import Access
from .catalogue import Catalogue
from .catalogue import Price
from .errors import ConfigurationError
from .price_entries import is_integer
from .price_entries import MAX_TRIAL_DAYS
from .price_entries import read_catalogue
from .price_entries import read_trial_days
from .price_entries import VISIBLE_ASCII
from .stripe_api.client import DEFAULT_API_VERSION
from .urls import is_path
from .urls import origin_of
from .urls import split_url
from .urls import UNSAFE

T = TypeVar("T")

logger: Final = logging.getLogger("flask_kavach_stripe")

#: The defaults of all keys. Where a secret is ``None``, the environment variable of the
#: same name is read.
DEFAULTS: dict[str, Any] = {
    "STRIPE_SECRET_KEY": None,
    "STRIPE_WEBHOOK_SECRET": None,
    "STRIPE_API_VERSION": DEFAULT_API_VERSION,
    "STRIPE_API_BASE": "https://api.stripe.com",
    "STRIPE_URL_PREFIX": "/auth/stripe",
    "STRIPE_WEBHOOK_PATHS": None,
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
    "STRIPE_PROTECT_BILLED": True,
}

#: The statuses that ``STRIPE_ACTIVE_STATUSES`` may contain. Stripe's other two,
#: ``canceled`` and ``incomplete_expired``, mean that the subscription has ended.
RUNNING_STATUSES = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete")

#: Every key without one of these prefixes counts as a test key.
LIVE_KEY_PREFIXES = ("sk_live_", "rk_live_", "sk_org_")

#: The keys that say what a browser may choose. With a test key, ``None`` lets browsers
#: choose freely. With a live key, ``None`` allows no trial and no origin but the app's,
#: and ``STRIPE_PRICES`` has to be set.
ALLOW_LISTS = ("STRIPE_PRICES", "STRIPE_TRIAL_DAYS", "STRIPE_TRUSTED_ORIGINS")

#: How much of a key has to be the same as in one of ours for it to be a typing error.
#: An app has keys of its own, such as ``STRIPE_PUBLISHABLE_KEY``.
_CLOSENESS: Final = 0.85

_ANY_PRICE = "*"
#: ``2026-10-28.endive``; before 2024-09-30, versions had no name.
API_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?")
#: A lone surrogate, such as ``"\ud800"``, cannot be encoded as UTF-8.
_SURROGATE = re.compile(r"[\ud800-\udfff]")
#: Some ways to set an environment variable keep the quotation marks around its value.
_QUOTED = re.compile("[\"'`\u2018-\u201f].*|.*[\"'`\u2018-\u201f]", re.DOTALL)


@dataclass(frozen=True)
class Settings:
    """The checked configuration of one app.

    An attribute has the name of its key, without ``STRIPE_`` and in lower case. Where
    one key answers several questions, there is an attribute for each:
    ``STRIPE_PRICES`` gives :attr:`catalogue` and :attr:`any_price`,
    ``STRIPE_TRUSTED_ORIGINS`` gives :attr:`trusted_origins` and
    :attr:`any_redirect_origin`. The two secrets are not in the ``repr``, which ends up
    in logs and tracebacks.
    """

    #: ``None`` if no key is set: then the first call to Stripe raises.
    secret_key: str | None = field(repr=False)

    #: Empty if no secret is set: then every webhook is rejected.
    webhook_secrets: tuple[str, ...] = field(repr=False)

    api_version: str

    #: Without a slash at the end.
    api_base: str

    #: Without a slash at the end; empty for the root of the app.
    url_prefix: str

    #: Further paths of the app at which the webhook answers.
    webhook_paths: tuple[str, ...]

    auto_create_customer: bool

    #: The entries of ``STRIPE_PRICES``; none for ``None`` and for ``"*"``.
    catalogue: Catalogue

    #: Whether browsers may also buy prices that are not in :attr:`prices`.
    any_price: bool

    #: Free trial of a user's first subscription, in days, if the browser asks for no
    #: number; ``None`` for no trial. See also :attr:`max_requested_trial_days`.
    trial_days: int | None

    #: A path of the app or an absolute URL, as the next two. See :func:`.app_path`.
    success_url: str | None
    cancel_url: str | None
    portal_return_url: str | None

    #: In the form of :func:`.origin_of`, so that they can be compared as text.
    trusted_origins: frozenset[str]

    #: Whether redirects may lead to every http(s) origin.
    any_redirect_origin: bool

    #: The statuses that give access, each once.
    active_statuses: tuple[str, ...]

    #: How many seconds a signature's timestamp may be from our clock, before or after.
    webhook_tolerance: int

    #: Seconds: one number for both, or one to connect and one for each read.
    timeout: float | tuple[float, float]

    max_network_retries: int

    #: The name of a Flask endpoint.
    subscription_view: str | None

    #: Whether a user with a running subscription cannot be deleted.
    protect_billed: bool

    @classmethod
    def from_app(cls, app: Flask) -> Settings:
        """Read and check the configuration of an app.

        Writes the default of each key that the app does not set into ``app.config``.
        With a test key, one warning names the keys that let browsers choose freely. A
        key that is no key of ours, but nearly one, is a warning, too.

        :raises ConfigurationError: If a value is wrong, or ``STRIPE_PRICES`` is not set
            although the secret key is a live one.
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
            webhook_paths=read("STRIPE_WEBHOOK_PATHS", _webhook_paths),
            auto_create_customer=read("STRIPE_AUTO_CREATE_CUSTOMER", _boolean),
            catalogue=read("STRIPE_PRICES", _catalogue),
            any_price=app.config["STRIPE_PRICES"] in (None, _ANY_PRICE),
            trial_days=read("STRIPE_TRIAL_DAYS", read_trial_days),
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
            protect_billed=read("STRIPE_PROTECT_BILLED", _boolean),
        )

        for key, nearest in misspelt_keys(app.config).items():
            logger.warning("%r has no effect. Did you mean %r?", key, nearest)

        if settings.livemode is False and unset:
            logger.warning(
                "The Stripe key is a test key, so what is not set lets browsers choose"
                " freely; a live key closes it. Not set: %s.",
                ", ".join(unset),
            )

        return settings

    @property
    def livemode(self) -> bool | None:
        """Whether the secret key is a live one; ``None`` if no key is set.

        Stripe's events carry a ``livemode`` of their own. Those of the other mode are
        ignored.
        """
        return None if self.secret_key is None else _is_live(self.secret_key)

    @property
    def max_requested_trial_days(self) -> int:
        """The longest trial that a browser may ask for, in days.

        ``STRIPE_TRIAL_DAYS``, if it is set. Else a live key allows no trial, a test key
        any that Stripe accepts. A :attr:`Price.trial_days` comes before this rule.
        """
        if self.trial_days is not None:
            return self.trial_days

        return 0 if self.livemode else MAX_TRIAL_DAYS

    @property
    def prices(self) -> Mapping[str, Price]:
        """The entries of ``STRIPE_PRICES``, by name."""
        return self.catalogue.prices

    @cached_property
    def access(self) -> Access:
        """What gives access: the active statuses, and the catalogue."""
        return Access(self.active_statuses, self.catalogue)


def misspelt_keys(keys: Iterable[str]) -> dict[str, str]:
    """The ``STRIPE_*`` keys that are probably typing errors, with the nearest of ours.

    :param keys: The keys of an app's configuration, ours and others.
    """
    prefix = "STRIPE_"
    names = [key.removeprefix(prefix) for key in DEFAULTS]
    nearest_by_key = {}

    for key in keys:
        if key.startswith(prefix) and key not in DEFAULTS:
            name = key.removeprefix(prefix)
            nearest = get_close_matches(name, names, 1, _CLOSENESS)

            if nearest:
                nearest_by_key[key] = prefix + nearest[0]

    return nearest_by_key


def _is_live(secret_key: str | None) -> bool:
    return secret_key is not None and secret_key.startswith(LIVE_KEY_PREFIXES)


def _wrong(key: str, value: object, expected: str) -> ConfigurationError:
    """The error for a wrong value. Never for a secret: the message shows the value.

    Entries of ``STRIPE_PRICES`` have another form, see :func:`.entries.wrong`.

    :param expected: What is allowed; it ends the phrase "must be".
    """
    return ConfigurationError(f"'{key}' must be {expected}, not {value!r}.")


# --- secrets: no message below holds a value --------------------------------------


def _secret_key(key: str, value: Any) -> str | None:
    """The secret key of the configuration, else of the environment.

    A publishable key and a signing secret are refused by their prefixes: they are
    easily copied in place of the secret key. Any other prefix is accepted, so that a
    new kind of key works.

    :return: Without white space around it, which copying adds. ``None`` if it is
        blank: the app starts, and a call to Stripe raises.
    """
    value = os.environ.get(key) if value is None else value

    if value is None:
        return None

    if not isinstance(value, str):
        raise ConfigurationError(f"'{key}' must be text.")

    value = value.strip()
    _refuse_quotes(key, value)

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

    if value and not VISIBLE_ASCII.fullmatch(value):
        raise ConfigurationError(
            f"'{key}' holds white space, control or non-ASCII characters, which no"
            " Stripe key has. Copy it again."
        )

    return value or None


def _webhook_secrets(key: str, value: Any) -> tuple[str, ...]:
    """The signing secrets of the configuration, else of the environment.

    There may be several: while one is rotated, or if several webhook endpoints lead to
    this app. They are used as UTF-8 bytes, so lone surrogates are refused. A key and an
    endpoint's id are refused by their prefixes: they are easily copied in place of the
    secret. Any other text is accepted.
    """
    secrets = _items(os.environ.get(key, "") if value is None else value)

    if secrets is None:
        raise ConfigurationError(f"'{key}' must be text or a list of texts.")

    if any(_SURROGATE.search(secret) for secret in secrets):
        raise ConfigurationError(f"'{key}' holds characters that are not UTF-8.")

    for secret in secrets:
        _refuse_quotes(key, secret)

        if secret.startswith(("sk_", "rk_", "pk_", "we_")):
            kind = "the id of an endpoint" if secret.startswith("we_") else "an API key"
            raise ConfigurationError(
                f"'{key}' is {kind} ({secret[:3]}...). Use the signing secret of the"
                " webhook endpoint, whsec_..., from Stripe's Dashboard, 'flask stripe"
                " webhook create' or 'stripe listen'."
            )

    return secrets


def _refuse_quotes(key: str, secret: str) -> None:
    """Refuse quotation marks around a secret, which would never match Stripe's.

    :raises ConfigurationError: If there is one at the beginning or at the end.
    """
    if _QUOTED.fullmatch(secret):
        raise ConfigurationError(
            f"'{key}' has quotation marks around its value, and they count as a part of"
            " it. Remove them."
        )


# --- lists -------------------------------------------------------------------------


def _items(value: Any) -> tuple[str, ...] | None:
    """The items of a list, or of comma-separated text, as in an environment variable.

    :return: Each item once, in order, without blank ones and without white space around
        them. ``None`` if the value is neither text nor a list of texts; the caller
        knows whether its message may show the value.
    """
    if isinstance(value, str):
        value = value.split(",")

    if not isinstance(value, list | tuple | set | frozenset):
        return None

    if not all(isinstance(item, str) for item in value):
        return None

    return tuple(dict.fromkeys(item.strip() for item in value if item.strip()))


def _origins(key: str, value: Any) -> frozenset[str]:
    """Origins in the form in which :func:`.origin_of` gives those of requests."""
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
    """At least one of Stripe's statuses, and none of a subscription that has ended."""
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


# --- prices -------------------------------------------------------------------------


def _catalogue(key: str, value: Any) -> Catalogue:
    """The entries; none for ``None`` and for ``"*"``.

    Those two differ in :attr:`Settings.any_price` and, with a live key, in that
    ``None`` stops the start.

    :raises ConfigurationError: If an entry is wrong.
    """
    if value is None or value == _ANY_PRICE:
        return Catalogue()

    catalogue = read_catalogue(key, value)

    if catalogue.unset:
        logger.warning(
            "%s has no price id for %s: not for sale. Is an environment variable"
            " missing?",
            key,
            ", ".join(map(repr, catalogue.unset)),
        )

    return catalogue


# --- URLs ----------------------------------------------------------------------------


def _api_base(key: str, value: Any) -> str:
    """The URL that Stripe's paths, ``/v1/...``, are appended to.

    A user name or password in a refused URL is masked in the message.
    """
    split = split_url(value) if isinstance(value, str) else None

    if split is None or re.search(r"[?#\s]", split[1]):
        shown = re.sub("//[^/]*@", "//***@", value) if isinstance(value, str) else value
        raise _wrong(key, shown, "an http(s) URL without user name and query")

    return str(value).rstrip("/")


def _url_prefix(key: str, value: Any) -> str:
    """The path below which the endpoints are, without a slash at the end."""
    if not _is_rule(value):
        raise _wrong(key, value, "a path that begins with one '/'")

    return value.rstrip("/")


def _webhook_paths(key: str, value: Any) -> tuple[str, ...]:
    """Paths of the app, each once."""
    paths = _items(() if value is None else value)

    if paths is None:
        raise _wrong(key, value, "None, a list of paths or comma-separated text")

    for path in paths:
        if not _is_rule(path):
            raise _wrong(key, path, "made of paths that begin with one '/'")

    return paths


def _is_rule(value: Any) -> TypeGuard[str]:
    """Whether it is a path that Flask takes as a URL rule without variables.

    ``<`` would begin a variable, and our views take no arguments.
    """
    return (
        isinstance(value, str)
        and is_path(value)
        and re.search(r"[?#<\s]", value) is None
    )


def _url(key: str, value: Any) -> str | None:
    """A path or an absolute http(s) URL.

    Its origin is not compared with ``STRIPE_TRUSTED_ORIGINS``: that list binds
    browsers, not the app's own configuration.
    """
    if value is None:
        return None

    if not isinstance(value, str) or not (is_path(value) or origin_of(value)):
        raise _wrong(key, value, "None, a path that begins with one '/' or a URL")

    return value


# --- the rest ------------------------------------------------------------------------


def _api_version(key: str, value: Any) -> str:
    """A value for the header ``Stripe-Version``; only its form is checked."""
    if not isinstance(value, str) or not API_VERSION.fullmatch(value):
        raise _wrong(key, value, "a version such as '2026-10-28.endive'")

    return value


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, value, "True or False")

    return value


def _positive_integer(key: str, value: Any) -> int:
    if not is_integer(value) or value <= 0:
        raise _wrong(key, value, "an integer greater than 0")

    return value


def _natural_number(key: str, value: Any) -> int:
    if not is_integer(value) or value < 0:
        raise _wrong(key, value, "an integer of at least 0")

    return value


def _timeout(key: str, value: Any) -> float | tuple[float, float]:
    """Seconds, as one number or as two: to connect, and for each read.

    A list of two becomes a tuple, as ``requests`` wants it: JSON has no tuples.
    """
    if _is_duration(value):
        return value

    if isinstance(value, list | tuple) and len(value) == 2:
        connect, read = value

        if _is_duration(connect) and _is_duration(read):
            return connect, read

    raise _wrong(key, value, "seconds greater than 0, or a pair: connect, read")


def _is_duration(value: Any) -> TypeGuard[float]:
    """Whether it is a finite number of seconds above 0; ``nan`` and ``inf`` are not."""
    return (is_integer(value) or isinstance(value, float)) and 0 < value < math.inf


def _endpoint(key: str, value: Any) -> str | None:
    """The name of a Flask endpoint.

    Whether the app has it cannot be checked yet: its views may be registered after
    ``init_app``.
    """
    if value is None:
        return None

    if not isinstance(value, str) or not value or UNSAFE.search(value):
        raise _wrong(key, value, "None or the name of an endpoint")

    return value
