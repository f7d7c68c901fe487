"""Views for subscribers only, and the subscription of whoever is logged in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from typing import cast
from typing import overload
from typing import TypeVar

from flask import current_app
from flask import jsonify
from flask import redirect
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.local import LocalProxy

from .billing.lookup import list_subscriptions
from .config import Settings
from .errors import ConfigurationError
from .state import get_state
from .subscriptions import Subscription

V = TypeVar("V", bound=Callable[..., Any])


def find_current_subscription() -> Subscription | None:
    """The subscription of the logged-in user.

    ``None`` in an app without log-in, and for a user of another model, such as an
    administrator.
    """
    if not hasattr(current_app, "login_manager"):
        return None

    return _subscription_of(current_user._get_current_object())


def _subscription_of(user: Any) -> Subscription | None:
    state = get_state()
    payers = state.payers

    if not isinstance(user, payers.user_model):
        return None

    return state.describe(payers.columns_of(payers.keys.attached(state.session, user)))


#: The subscription of the logged-in user: a proxy, false where there is none.
current_subscription: Subscription | None = cast(
    "Subscription | None", LocalProxy(find_current_subscription)
)


@overload
def subscription_required(view: V, /) -> V: ...


@overload
def subscription_required(*prices: str) -> Callable[[V], V]: ...


def subscription_required(*args: Any) -> Any:
    """Open a view only to users with an active subscription.

    .. code-block:: python

        @app.get("/reports")
        @subscription_required("pro", "team")
        def reports(): ...

    Who is not logged in gets what Flask-Login's ``unauthorized()`` gives; who has no
    active subscription is redirected to ``STRIPE_SUBSCRIPTION_VIEW``, or gets a 402
    where that is not set, as JSON if the client prefers it.

    :param prices: Names from ``STRIPE_PRICES`` or price ids, any of which will do. None
        given: every price will do.
    :raises ConfigurationError: At the first request, if a name is not in
        ``STRIPE_PRICES``.

    .. versionadded:: 0.1
    """
    if len(args) == 1 and callable(args[0]):
        return _guard(args[0], ())

    for price in args:
        if not isinstance(price, str):
            raise TypeError(f"A price must be a name or an id, not {price!r}.")

    return lambda view: _guard(view, args)


def _guard(view: V, prices: tuple[str, ...]) -> V:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        price_ids = {_price_id(price, get_state().settings) for price in prices}

        user: Any = current_user._get_current_object()

        if not user.is_authenticated:
            return current_app.login_manager.unauthorized()  # type: ignore[attr-defined]

        if not _has_access(user, price_ids):
            return _subscription_missing()

        return current_app.ensure_sync(view)(*args, **kwargs)

    return cast("V", guarded)


def _has_access(user: Any, price_ids: set[str]) -> bool:
    subscription = _subscription_of(user)

    if subscription is None:
        return False

    if _opens(subscription, price_ids):
        return True

    return bool(price_ids) and any(
        _opens(each, price_ids) for each in list_subscriptions(user)
    )


def _opens(subscription: Subscription, price_ids: set[str]) -> bool:
    return subscription.is_active and (
        not price_ids or subscription.price_id in price_ids
    )


def _price_id(price: str, settings: Settings) -> str:
    named = settings.prices.get(price)

    if named is not None:
        return named.id

    if price in settings.price_names or price.startswith("price_"):
        return price

    names = ", ".join(map(repr, settings.prices)) or "none"
    raise ConfigurationError(
        f"'subscription_required' names {price!r}, which is not in 'STRIPE_PRICES'."
        f" Names there: {names}."
    )


def _subscription_missing() -> ResponseReturnValue:
    view = get_state().settings.subscription_view

    if view is not None:
        return redirect(url_for(view))

    sentence = "This needs an active subscription."

    if _prefers_json():
        return jsonify(error=sentence, code="subscription_required"), 402

    return sentence, 402


def _prefers_json() -> bool:
    accepted = request.accept_mimetypes
    best = accepted.best_match(("text/html", "application/json"), default="text/html")
    return request.is_json or best == "application/json"
