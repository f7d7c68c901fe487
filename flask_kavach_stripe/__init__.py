"""Stripe subscriptions for Flask apps.

.. code-block:: python

    kavach_stripe = KavachStripe()

    def create_app():
        app = Flask(__name__)
        app.config.from_prefixed_env()  # FLASK_STRIPE_PRICES, ...
        db.init_app(app)
        login_manager.init_app(app)
        kavach_stripe.init_app(app)
        return app

What can be imported from here is public; apps' tests also import
:mod:`flask_kavach_stripe.testing` and :mod:`flask_kavach_stripe.sandbox`. Every other
module is private and may change. A browser's request goes from ``views`` to
``billing``, a webhook from ``views`` to ``events``. Both use ``stripe_api`` (calls,
signatures, objects) and ``database`` (our three tables). ``customer_state`` has the
rules: which event wins, and what the user's columns say.
"""

from .billing.checkout import CheckoutSession as CheckoutSession
from .billing.portal import PortalSession as PortalSession
from .database.models import StripeEventMixin as StripeEventMixin
from .database.models import StripeSubscriptionMixin as StripeSubscriptionMixin
from .database.models import StripeUserMixin as StripeUserMixin
from .errors import AlreadySubscribedError as AlreadySubscribedError
from .errors import APIConnectionError as APIConnectionError
from .errors import APIError as APIError
from .errors import AuthenticationError as AuthenticationError
from .errors import CardError as CardError
from .errors import CheckoutSessionMismatch as CheckoutSessionMismatch
from .errors import ConfigurationError as ConfigurationError
from .errors import IdempotencyError as IdempotencyError
from .errors import InvalidRequestError as InvalidRequestError
from .errors import KavachStripeError as KavachStripeError
from .errors import NoCustomerError as NoCustomerError
from .errors import PermissionDeniedError as PermissionDeniedError
from .errors import RateLimitError as RateLimitError
from .errors import RunningSubscriptionError as RunningSubscriptionError
from .errors import SignatureVerificationError as SignatureVerificationError
from .errors import StripeError as StripeError
from .errors import UnknownCustomerError as UnknownCustomerError
from .events.retry import leave_to_worker as leave_to_worker
from .extension import KavachStripe as KavachStripe
from .guards import current_subscription as current_subscription
from .guards import subscription_required as subscription_required
from .stripe_api.client import StripeClient as StripeClient
from .stripe_api.client import StripeResponse as StripeResponse
from .stripe_api.event import Event as Event
from .subscription import Item as Item
from .subscription import Subscription as Subscription

__all__ = [
    "APIConnectionError",
    "APIError",
    "AlreadySubscribedError",
    "AuthenticationError",
    "CardError",
    "CheckoutSession",
    "CheckoutSessionMismatch",
    "ConfigurationError",
    "Event",
    "IdempotencyError",
    "InvalidRequestError",
    "Item",
    "KavachStripe",
    "KavachStripeError",
    "NoCustomerError",
    "PermissionDeniedError",
    "PortalSession",
    "RateLimitError",
    "RunningSubscriptionError",
    "SignatureVerificationError",
    "StripeClient",
    "StripeError",
    "StripeEventMixin",
    "StripeResponse",
    "StripeSubscriptionMixin",
    "StripeUserMixin",
    "Subscription",
    "UnknownCustomerError",
    "current_subscription",
    "leave_to_worker",
    "subscription_required",
]
