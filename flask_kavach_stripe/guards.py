"""Views for subscribers only, and the subscription of the logged-in user.

Both read the columns of the user that Flask-Login has loaded, and never call Stripe:
webhooks keep the columns up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from functools import wraps
from itertools import chain
from typing import Any
from typing import cast
from typing import Final
from typing import overload
from typing import TypeVar

from flask import current_app
from flask import Flask
from flask import jsonify
from flask import make_response
from flask import redirect
from flask import request
from flask import Response
from flask import url_for
from flask.views import http_method_funcs
from flask_login import current_user
from werkzeug.local import LocalProxy

from .answers import prefers_json
from .billing.named_prices import find_named
from .billing.stored_subscriptions import list_subscriptions
from .config import Settings
from .errors import ConfigurationError
from .state import get_state
from .subscription import Subscription

V = TypeVar("V", bound=Callable[..., Any])

#: The attribute of a guarded view that holds the prices of its guard.
_PRICES: Final = "_kavach_stripe_prices"

#: The methods of a class-based view that may be guarded.
_METHODS: Final = ("dispatch_request", *sorted(http_method_funcs))


def find_login_manager() -> Any:
    """Flask-Login's manager of the current app, ``None`` if it has none."""
    return getattr(current_app, "login_manager", None)


def find_current_subscription() -> Subscription | None:
    """The subscription of the logged-in user, from the user's columns.

    :return: ``None`` if no subscription is running, nobody is logged in, the user is of
        another model than the one that pays, or the app has no ``LoginManager``.
    """
    if find_login_manager() is None:
        return None

    return _subscription_of(current_user._get_current_object())


def _subscription_of(user: Any) -> Subscription | None:
    """The subscription in a user's columns; ``None`` for a user of another model.

    :param user: Flask-Login's user: an instance, perhaps detached, or an anonymous
        user.
    """
    state = get_state()
    payers = state.payers

    if not isinstance(user, payers.user_model):
        return None

    return state.describe(payers.columns_of(payers.keys.attached(state.session, user)))


#: The subscription of the logged-in user, looked up at each use. It is a proxy, and
#: never ``None`` itself: test its truth, which is false if there is no subscription.
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

    A visitor who is not logged in gets the response of Flask-Login's
    ``unauthorized()``. A user without an active subscription is redirected to
    ``STRIPE_SUBSCRIPTION_VIEW``. If that key is not set, the answer is 402, as JSON if
    the client prefers it.

    Put it below the decorator of the route, as above. Async views work, too, and so do
    the methods of a ``MethodView`` or of a Flask-RESTful resource: whoever is kept out
    gets a complete :class:`flask.Response`.

    :param prices: Names from ``STRIPE_PRICES`` or price ids. A subscription to any of
        them opens the view; without prices, every active subscription does.
    :raises TypeError: If a price is not a text.
    :raises ConfigurationError: At each request, if a name is not in ``STRIPE_PRICES``,
        or the app has no ``LoginManager``.

    .. versionadded:: 0.1
    """
    if len(args) == 1 and callable(args[0]):
        return _guard(args[0], ())

    for price in args:
        if not isinstance(price, str):
            raise TypeError(f"A price must be a name or an id, not {price!r}.")

    return lambda view: _guard(view, args)


def _guard(view: V, prices: tuple[str, ...]) -> V:
    """Wrap a view.

    :param prices: Resolved to ids in each request, as only an app knows its prices.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        settings = get_state().settings
        price_ids = {id_ for price in prices for id_ in resolve_price(price, settings)}

        login_manager = find_login_manager()

        if login_manager is None:
            raise ConfigurationError(
                "'subscription_required' asks Flask-Login who is logged in, and this"
                " app has none. Call 'LoginManager(app)' and register a 'user_loader'."
            )

        user: Any = current_user._get_current_object()

        if not user.is_authenticated:
            return make_response(login_manager.unauthorized())

        if not _has_access(user, price_ids):
            return _subscription_missing()

        return current_app.ensure_sync(view)(*args, **kwargs)

    # `wraps` has copied the prices of a guard below this one, and decorators above copy
    # these to the function that the app registers.
    setattr(guarded, _PRICES, (*getattr(view, _PRICES, ()), *prices))
    return cast("V", guarded)


def guarded_views(app: Flask) -> dict[str, list[str]]:
    """The prices that the guards of an app name, each with the endpoints it opens.

    Guarded ``before_request`` functions are found by their names. A guard is not found
    below a decorator that does not use :func:`functools.wraps`.
    """
    views: dict[str, list[str]] = {}

    for endpoint, view in chain(app.view_functions.items(), _hooks(app)):
        view_class = getattr(view, "view_class", None)
        methods = (getattr(view_class, name, None) for name in _METHODS)

        for function in (view, *methods):
            for price in getattr(function, _PRICES, ()):
                if endpoint not in views.setdefault(price, []):
                    views[price].append(endpoint)

    return views


def _hooks(app: Flask) -> Iterator[tuple[str, Any]]:
    """The ``before_request`` functions of an app and its blueprints, by name."""
    for functions in app.before_request_funcs.values():
        yield from ((getattr(hook, "__name__", "?"), hook) for hook in functions)


def _has_access(user: Any, price_ids: Collection[str]) -> bool:
    """Whether one of a user's subscriptions is active and to one of the prices.

    The columns hold the plan of the best subscription. All items of all the user's
    subscriptions are read from the database only if that is another price, or if its
    scheduled end is past.
    """
    best = _subscription_of(user)

    if best is None:
        return False

    if not price_ids or best.price_id in price_ids:
        if best.is_active:
            return True

    if not price_ids and not best.cancel_at_period_end:
        return False  # its status gives no access, and so does no other one's

    return any(
        not price_ids or any(item.price_id in price_ids for item in subscription.items)
        for subscription in list_subscriptions(user)
        if subscription.is_active
    )


def resolve_price(price: str, settings: Settings) -> tuple[str, ...]:
    """The ids of a price that is given by its name in ``STRIPE_PRICES`` or by its id.

    :raises ConfigurationError: If it is neither: a misspelt name would keep out every
        subscriber.
    """
    named = find_named(settings.catalogue, price)
    return (price,) if named is None else named.ids


def _subscription_missing() -> Response:
    """The answer to a user without access: a redirect, or 402 as JSON or as text.

    It is a response, not a tuple: Flask-RESTful would make JSON of what is in a tuple.
    """
    view = get_state().settings.subscription_view

    if view is not None:
        return make_response(redirect(url_for(view)))

    sentence = "This needs an active subscription."

    if request.is_json or prefers_json(request):
        return make_response(jsonify(error=sentence, code="subscription_required"), 402)

    return make_response(sentence, 402)
