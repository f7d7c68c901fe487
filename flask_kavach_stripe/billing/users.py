"""Find the user that a helper was given, and the user's row.

Every helper takes a user in three forms: as an instance of the user model, as
Flask-Login's ``current_user``, or as a primary key, also one written as text.
"""

from __future__ import annotations

from typing import Any

from werkzeug.local import LocalProxy

from ..customer_state import Payer
from ..errors import NoCustomerError
from ..state import State


def find_user(state: State, user: Any) -> Any:
    """Find the model instance of a user. Does not flush and does not commit.

    :param user: A model instance, ``current_user`` or a primary key.
    :return: The instance. ``None`` for ``None``, for an anonymous user, and for a key
        without a user.
    :raises TypeError: If ``user`` is neither an instance nor a primary key.
    """
    if isinstance(user, LocalProxy):
        user = user._get_current_object()

    if user is None or getattr(user, "is_anonymous", False) is True:
        return None

    if isinstance(user, state.payers.user_model):
        return state.payers.keys.attached(state.session, user)

    if state.payers.keys.is_key(state.session, user):
        return state.payers.keys.load(state.session, user)

    raise TypeError(
        f"'user' must be a {state.payers.user_model.__name__!r}, 'current_user' or a"
        f" primary key, not {type(user).__name__!r}."
    )


def get_payer(state: State, user: Any) -> tuple[Any, Payer]:
    """Find the model instance of a user, and read the user's row. Flushes.

    The instance may be older than the row: another process may have stored a customer
    id or a subscription since the instance was loaded.

    :return: The instance, and the row as the database has it now.
    :raises NoCustomerError: If there is no such user.
    """
    state.session.flush()
    instance = find_user(state, user)
    user_id = None if instance is None else state.payers.keys.of(instance)
    payer = None if user_id is None else state.payers.get(state.session, user_id)

    if payer is None:
        raise NoCustomerError("There is no such user.")

    return instance, payer
