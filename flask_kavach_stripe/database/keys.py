"""Primary keys of the app's user model: from text to a key, and from a key to the user.

Keys leave the database as text: as ``client_reference_id`` at Stripe, as ``user_id`` in
the ledger, and on the command line. :meth:`Keys.to_text` writes them, and refuses a key
that could not come back. They come back through :meth:`Keys.parse`, which accepts a key
only as we write it. Within a process, a key stays what the column type has made of it.
"""

from __future__ import annotations

import uuid
from typing import Any
from typing import Final

from sqlalchemy import inspect
from sqlalchemy import Integer
from sqlalchemy import select
from sqlalchemy import SmallInteger
from sqlalchemy import Uuid
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeDecorator
from sqlalchemy.types import TypeEngine

from ..errors import ConfigurationError
from .models import StripeUserMixin
from .transactions import connection_to

#: How many bits the integers of a column type have, in databases other than SQLite. A
#: type that is not listed here has 64.
_INTEGER_BITS: Final[dict[type[Any], int]] = {SmallInteger: 16, Integer: 32}


class Keys:
    """The primary keys of the user model. Nothing here commits.

    :param user_model: The app's class with ``StripeUserMixin``.
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
        self._class = _python_type(self._column_type)

    def of(self, user: Any) -> Any:
        """Return the primary key of a user, ``None`` before the user is stored.

        No query: it also works for an instance that is detached or expired.
        """
        identity = inspect(user).identity
        return None if identity is None else identity[0]

    def class_of(self, session: Session) -> type[Any] | None:
        """Return the Python class of the table's keys.

        A column type of the app's own does not tell it. Then one key is read from the
        table, once.

        :return: ``None`` if only a key could tell, and the table is empty.
        """
        if self._class is None:
            statement = select(self.column).limit(1)
            key = connection_to(session, self.user_model).scalar(statement)
            self._class = None if key is None else type(key)

        return self._class

    def to_text(self, key: Any) -> str:
        """Write a key of the table as text, from which :meth:`parse` makes it again.

        :raises ConfigurationError: If the class of the key does not make an equal key
            of this text.
        """
        text = str(key)

        if _read(type(key), text) != key:
            raise ConfigurationError(
                f"The primary key of {self.user_model.__name__!r} is a"
                f" {type(key).__qualname__!r}, and its text does not lead back to it:"
                f" '{type(key).__qualname__}(str(key))' has to be equal to the key."
                " Use a column type with other keys, such as 'uuid.UUID', 'int' or"
                " 'str'."
            )

        return text

    def parse(self, session: Session, value: Any) -> Any:
        """Turn a value from outside into a primary key.

        One query for the first value, as :meth:`class_of` may need it.

        :param value: A key, or the text of one.
        :return: The key in the class of the table's keys; ``None`` if the value cannot
            be a key, so that no user has it.
        """
        key_class = self.class_of(session)

        if key_class is None:
            return None

        if isinstance(value, str):
            key = self._parse_text(key_class, value)
        else:
            key = value if isinstance(value, key_class) else None

        if isinstance(key, bool):
            return None

        return None if self._is_too_large(session, key) else key

    def _parse_text(self, key_class: type[Any], text: str) -> Any:
        """Read a key only as ``str(key)`` writes it.

        ``int`` would also take ``" 1"`` and ``"1_0"``: then a user would have several.
        """
        is_uuid = isinstance(self._column_type, Uuid)
        key = _read(uuid.UUID if is_uuid else key_class, text)

        if str(key) != (text.lower() if isinstance(key, uuid.UUID) else text):
            return None

        return key if isinstance(key, key_class) else str(key)

    def is_key(self, session: Session, value: Any) -> bool:
        """Whether a value has a type that keys may have, or the texts of keys.

        As for :meth:`parse`, one query for the first value. Any value may be a key
        while only the table could tell, and is empty.
        """
        if isinstance(value, bool):
            return False

        key_class = self.class_of(session) or object
        return isinstance(value, (str, int, uuid.UUID, key_class))

    def _is_too_large(self, session: Session, key: Any) -> bool:
        """Whether a key is an integer that the column cannot hold.

        A query for it is an error in some databases. To us it means: no user has it.
        """
        if not isinstance(key, int):
            return False

        bits = 64
        bind = session.get_bind(mapper=inspect(self.user_model))

        if bind.dialect.name != "sqlite":  # its integers all have 64 bits
            bits = _INTEGER_BITS.get(type(self._column_type), bits)

        return bool(abs(key) >= 1 << (bits - 1))

    def load(self, session: Session, value: Any) -> Any:
        """Load the user with a primary key.

        :param value: A key, or the text of one.
        :return: The session's instance; ``None`` if no user has this key.
        """
        key = self.parse(session, value)

        try:
            return None if key is None else session.get(self.user_model, key)
        except StatementError as error:
            raise_database_error(error)
            return None

    def load_page(self, session: Session, after: Any, *, limit: int) -> list[Any]:
        """Load users in the order of their primary keys.

        :param after: The last key of the former page; ``None`` to begin.
        """
        statement = select(self.user_model).order_by(self.column).limit(limit)

        if after is not None:
            statement = statement.where(self.column > after)

        return list(session.scalars(statement))

    def attached(self, session: Session, user: Any) -> Any:
        """Return an instance of the user that can load its columns.

        A detached instance with expired columns cannot, for example a user that
        Flask-Login still holds after the session was closed.

        :return: The instance itself if it can. Else the user as ``session`` has or
            loads it, which is ``None`` if the row is gone.
        """
        instance_state = inspect(user)

        if instance_state.detached and instance_state.expired_attributes:
            return session.get(self.user_model, instance_state.identity[0])

        return user


def _python_type(column_type: TypeEngine[Any]) -> type[Any] | None:
    """Return the Python type of a column's values, ``None`` if it does not tell.

    A ``TypeDecorator`` may name another type than its values have: it names the type of
    the column behind it.
    """
    if isinstance(column_type, TypeDecorator):
        return None

    try:
        python_type = column_type.python_type
    except NotImplementedError:  # SQLAlchemy's way to say that there is none
        return None

    return None if python_type is object else python_type


def _read(key_class: type[Any], text: str) -> Any:
    """Make a key of its text, ``None`` if the class refuses it."""
    try:
        return key_class(text)
    except Exception:  # the class may be the app's, with errors of its own
        return None


def raise_database_error(error: StatementError) -> None:
    """Raise the error again if it comes from the database.

    Any other ``StatementError`` comes from the app's own column type, which cannot take
    a value as a key. Then no user has this key, and this function just returns.

    :raises DBAPIError: The error itself.
    """
    if isinstance(error, DBAPIError):
        raise error
