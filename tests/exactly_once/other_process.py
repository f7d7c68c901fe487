"""Another process at the same database file."""

from __future__ import annotations

from typing import Any

from tests.vocabulary import second_connection


def write_to_ada(shop: Any, email: str) -> None:
    """Write to the user's row from another process; fails if it is locked."""
    with second_connection(shop) as connection:
        connection.execute("UPDATE users SET email = ? WHERE id = 1", (email,))
        connection.commit()


def email_of_ada(shop: Any) -> str:
    """The e-mail address that is committed."""
    with second_connection(shop) as connection:
        return str(connection.execute("SELECT email FROM users").fetchone()[0])
