"""What ``flask stripe sync`` found out about a user: values, for somebody to print."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import TypeAlias

from ..customer_state import CustomerState
from ..database.payers import COLUMN_NAMES


class Repair(NamedTuple):
    """A user with changed columns or rows; in a dry run, with changes to come."""

    user_id: Any
    customer_id: str
    #: The values before and after, by the name of the user's column.
    columns: Mapping[str, tuple[Any, Any]]
    #: The ids of the subscriptions with changed rows.
    subscriptions: Sequence[str]


class Failure(NamedTuple):
    """A user that could not be repaired, or for which a handler raised.

    After an error of a handler the columns are repaired all the same, and a
    :class:`Repair` comes first.
    """

    user_id: Any
    customer_id: str
    error: Exception


class UnknownSubscription(NamedTuple):
    """A running row of ours that the key's account does not know. It is kept."""

    user_id: Any
    customer_id: str
    subscription_id: str


class Double(NamedTuple):
    """A user who pays for several subscriptions."""

    user_id: Any
    customer_id: str
    #: The ids, the best one first.
    subscriptions: Sequence[str]


Outcome: TypeAlias = Repair | Failure | UnknownSubscription


def repair_between(
    before: CustomerState, after: CustomerState, customer_id: str
) -> Repair | None:
    """Compare two states of a customer.

    :return: ``None`` if columns and subscriptions are equal. Times and revisions of the
        rows do not count.
    """
    pairs = zip(_columns(before), _columns(after), strict=True)
    columns = {
        name: (old, new)
        for name, (old, new) in zip(COLUMN_NAMES, pairs, strict=True)
        if old != new
    }
    old_states, states = before.states, after.states
    changed = [id_ for id_ in states if states[id_] != old_states.get(id_)]

    if not columns and not changed:
        return None

    return Repair(before.payer.user_id, customer_id, columns, changed)


def _columns(customer: CustomerState) -> tuple[Any, ...]:
    """The values of the user's six columns, in the order of ``COLUMN_NAMES``."""
    return (customer.payer.customer_id, *customer.payer.columns)
