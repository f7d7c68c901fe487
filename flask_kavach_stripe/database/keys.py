"""Primary keys of users: from text and back, and the user of a key."""

from __future__ import annotations

import uuid
from typing import Any
from typing import Final

from sqlalchemy import inspect
from sqlalchemy import Integer
from sqlalchemy import SmallInteger
from sqlalchemy import Uuid
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from ..errors import ConfigurationError
from .models import StripeUserMixin

#: How many bits the integers of a column type have, outside of SQLite.
_INTEGER_BITS: Final[dict[type[Any], int]] = {SmallInteger: 16, Integer: 32}


class Keys:
    """The primary keys of the user model. Nothing here commits.

    :raises ConfigurationError: If the key has several columns.
    """

    def __init__(self, user_model: type[StripeUserMixin]) -> None:
        mapper = inspect(user_model)

        if len(mapper.primary_key) != 1:
            raise ConfigurationError(
                f"The primary key of {user_model.__name__!r} must be one column."
            )

        self.user_model = user_model
        #: The column of the key.
        self.column: Final[Any] = mapper.primary_key[0]
        self._column_type: TypeEngine[Any] = self.column.type
        #: What keys are in Python.
        self.type: Final = _python_type(self._column_type)

    def of(self, user: Any) -> Any:
        """The primary key of an instance, ``None`` before it is stored."""
        identity = inspect(user).identity
        return None if identity is None else identity[0]

    def parse(self, session: Session, value: Any) -> Any:
        """A primary key of the right type, or ``None`` where the value is none."""
        if isinstance(value, str):
            key = self._parse_text(value)
        else:
            key = value if isinstance(value, self.type) else None

        if isinstance(key, bool):
            return None

        return None if self._is_too_large(session, key) else key

    def _parse_text(self, text: str) -> Any:
        """A key that is written as we write it: `int` would take " 1" and "1_0"."""
        if self.type is object:
            return text

        is_uuid = isinstance(self._column_type, Uuid)

        try:
            key = uuid.UUID(text) if is_uuid else self.type(text)
        except (ArithmeticError, TypeError, ValueError):
            return None

        if str(key) != (text.lower() if isinstance(key, uuid.UUID) else text):
            return None

        return key if isinstance(key, self.type) else str(key)

    def _is_too_large(self, session: Session, key: Any) -> bool:
        """Whether the column cannot hold an integer."""
        if not isinstance(key, int):
            return False

        bits = 64
        bind = session.get_bind(mapper=inspect(self.user_model))

        if bind.dialect.name != "sqlite":  # whose integers are all of this size
            bits = _INTEGER_BITS.get(type(self._column_type), bits)

        return bool(abs(key) >= 1 << (bits - 1))

    def load(self, session: Session, value: Any) -> Any:
        """The user with a primary key, also one given as text, or ``None``."""
        key = self.parse(session, value)

        try:
            return None if key is None else session.get(self.user_model, key)
        except StatementError as error:
            raise_database_error(error)
            return None

    def attached(self, session: Session, user: Any) -> Any:
        """The instance; the session's own of it, where it can load nothing itself."""
        instance_state = inspect(user)

        if instance_state.detached and instance_state.expired_attributes:
            return session.get(self.user_model, instance_state.identity[0])

        return user


def _python_type(column_type: TypeEngine[Any]) -> type[Any]:
    """What a column holds in Python; any object, if its type does not tell."""
    try:
        return column_type.python_type
    except NotImplementedError:
        return object


def raise_database_error(error: StatementError) -> None:
    """Raise an error of the database itself.

    Any other error comes from the app's own column type, which cannot take the key.
    Then no user has this key, and there is nothing to raise.
    """
    if isinstance(error, DBAPIError):
        raise error
