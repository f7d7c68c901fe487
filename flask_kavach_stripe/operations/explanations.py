"""What an operator reads in a terminal: one line about an error, without surprises."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from ..errors import APIConnectionError
from ..errors import AuthenticationError
from ..errors import ConfigurationError
from ..errors import KavachStripeError
from ..errors import PermissionDeniedError
from ..errors import StripeError
from ..events.run import HandlerError


def is_expected(error: Exception) -> bool:
    """Whether :func:`explain` says all that there is to say.

    Any other error is a bug, ours or of the app's models: log it with its traceback.
    """
    return isinstance(error, KavachStripeError | SQLAlchemyError)


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)


def explain(error: Exception) -> str:
    """Say what is wrong and what to do, in one line without secrets.

    Two messages are replaced for that reason. Stripe's message about a refused key may
    show a part of the key. A database's message may show a customer's data.

    :param error: Any exception. For an unexpected one the line names its type alone.
    """
    match error:
        case AuthenticationError():
            return (
                "Stripe refuses the key of 'STRIPE_SECRET_KEY'. Copy it again from"
                " Stripe's Dashboard."
            )
        case PermissionDeniedError():
            return (
                "The key of 'STRIPE_SECRET_KEY' may not do this. Give it the"
                " permission in Stripe's Dashboard."
            )
        case APIConnectionError():
            return f"{error} Check the network and 'STRIPE_API_BASE'."
        case StripeError():
            return f"Stripe answered with an error: {error}"
        case HandlerError(error=ConfigurationError() as reason):
            return str(reason)
        case HandlerError():
            return (
                f"A handler raised {type(error.error).__name__}. Run it again with"
                " 'flask stripe replay --failed'."
            )
        case KavachStripeError():
            return str(error)
        case SQLAlchemyError():
            return (
                f"The database failed ({type(error).__name__}). Run the command again."
            )

    return f"An unexpected {type(error).__name__}. The log has the traceback."
