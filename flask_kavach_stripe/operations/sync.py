"""Make the database agree with Stripe: one request for each 100 subscriptions.

Stripe's list is read once, then our running rows are compared with the ids in it.
What Stripe lists is stored like a webhook, so a webhook that arrives meanwhile is not
undone. A row that is not in the list is a suspicion only: Stripe is asked for its
customer alone.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import Final
from typing import NamedTuple
from typing import TypeAlias

from ..billing.customers import is_deleted_customer
from ..billing.refresh import list_from_stripe
from ..billing.refresh import sync_customer
from ..billing.users import get_payer
from ..database.payers import COLUMN_NAMES
from ..errors import FATAL_ERRORS
from ..errors import InvalidRequestError
from ..errors import KavachStripeError
from ..events.store import to_answer
from ..state import State
from ..stripe_api.client import StripeResponse
from ..stripe_api.objects import now
from ..subscriptions import Answer
from ..subscriptions import Change
from ..subscriptions import CustomerDeleted
from ..subscriptions import CustomerState
from ..subscriptions import Payer
from ..subscriptions import Snapshot
from ..subscriptions import UPDATED

logger: Final = logging.getLogger(__name__)

#: How many of our rows are read at once.
_USERS = 500
_SUBSCRIPTIONS = 5000


class Repair(NamedTuple):
    """What changed, or would change, for one user."""

    user_id: Any
    customer_id: str
    #: Before and after, by the name of the user's column.
    columns: Mapping[str, tuple[Any, Any]]
    #: The ids of the subscriptions whose rows changed.
    subscriptions: Sequence[str]


class Failure(NamedTuple):
    """A user who could not be repaired, or whose handlers raised."""

    user_id: Any
    customer_id: str
    error: Exception


Outcome: TypeAlias = Repair | Failure


def _repair_between(
    before: CustomerState, after: CustomerState, customer_id: str
) -> Repair | None:
    """The way from here to there, ``None`` if it is the same place."""
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
    return (customer.payer.customer_id, *customer.payer.columns)


class Repairs:
    """One run over all users, or over one.

    :param dry_run: Only find out what would change.
    """

    def __init__(self, state: State, *, dry_run: bool = False) -> None:
        self._state = state
        self._dry_run = dry_run
        #: How many subscriptions were read, and in how many requests.
        self.subscriptions: int = 0
        self.requests: int = 0
        self._changed: set[str] = set()
        self._knows_customers = False
        #: What a dry run has not written, by customer.
        self._foreseen: dict[str, CustomerState] = {}

    @property
    def changed(self) -> int:
        """How many users were changed."""
        return len(self._changed)

    def repair_user(self, user: Any) -> Iterator[Outcome]:
        """Compare one user with what Stripe lists.

        :raises NoCustomerError: If there is no such user.
        """
        _, payer = get_payer(self._state, user)
        self._state.session.commit()

        if payer.customer_id is not None:
            yield from self._repair(payer.customer_id, None)

    def repair_all(self, on_page: Callable[[int], object]) -> Iterator[Outcome]:
        """Compare all users with what Stripe lists.

        :param on_page: Told how many subscriptions each page had, when it is done.
        :raises KavachStripeError: If the list is of another account than our rows.
        """
        listed: set[str] = set()
        params = {"status": "all", "limit": 100}

        for page in self._state.client.pages("/v1/subscriptions", params):
            answers = [
                to_answer(StripeResponse(each, as_of=page.as_of))
                for each in page["data"]
            ]
            self.requests += 1
            self.subscriptions += len(answers)
            listed.update(answer.subscription_id for answer in answers)
            yield from self._repair_page(answers)
            on_page(len(answers))

        suspects = dict.fromkeys(self._find_unlisted(listed))  # in order, each once
        suspects |= dict.fromkeys(self._find_inconsistent())

        for customer_id in suspects:
            yield from self._repair_suspect(customer_id)

    # -- what Stripe lists -------------------------------------------------------------

    def _repair_page(self, answers: Sequence[Answer]) -> Iterator[Outcome]:
        changes: dict[str, list[Change]] = defaultdict(list)

        for state, time in answers:
            changes[state.customer_id].append(Snapshot(state, time, UPDATED))

        for customer_id, customer in self._find(list(changes)).items():
            self._knows_customers = True
            known = tuple(changes[customer_id])

            if self._differs(customer, known):
                yield from self._repair(customer_id, known)

    def _find(self, customer_ids: Sequence[str]) -> dict[str, CustomerState]:
        """Those of some customers that our users have, with their rows."""
        payers = self._state.payers.find_all(self._state.session, customer_ids)
        return self._add_rows(payers)

    def _add_rows(self, payers: Mapping[str, Payer]) -> dict[str, CustomerState]:
        session = self._state.session
        rows = self._state.rows.of_all(session, list(payers))
        session.commit()
        return {
            id_: self._foreseen.get(id_) or CustomerState(payer, rows[id_])
            for id_, payer in payers.items()
        }

    def _differs(self, customer: CustomerState, changes: tuple[Change, ...]) -> bool:
        """Whether anything would be different after some changes."""
        after = customer.after(changes)

        if after is None:  # only Stripe can tell
            return True

        after = after.projected(self._state.settings.active_statuses)
        return after.payer != customer.payer or after.states != customer.states

    # -- what Stripe does not list -----------------------------------------------------

    def _find_unlisted(self, listed: Collection[str]) -> Iterator[str]:
        """The customers of our running subscriptions that Stripe did not list."""
        session, last = self._state.session, ""

        while batch := self._state.rows.list_running(
            session, last, limit=_SUBSCRIPTIONS
        ):
            session.commit()
            last = batch[-1].id
            yield from (row.customer_id for row in batch if row.id not in listed)

        session.commit()

    def _find_inconsistent(self) -> Iterator[str]:
        """Customers whose columns and rows say different things."""
        session, last = self._state.session, None

        while batch := self._state.payers.list_paying(session, last, limit=_USERS):
            payers = {str(payer.customer_id): payer for payer in batch}

            for customer_id, customer in self._add_rows(payers).items():
                if self._differs(customer, ()):
                    yield customer_id

            last = batch[-1].user_id

        session.commit()

    def _repair_suspect(self, customer_id: str) -> Iterator[Outcome]:
        if not self._find([customer_id]):
            return

        if not self._knows_customers:
            raise KavachStripeError(
                f"Stripe lists {self.subscriptions} subscriptions, and none of them is"
                " of a customer in this database. Is 'STRIPE_SECRET_KEY' a key of this"
                " app's account? If it is, sync each user by 'flask stripe sync --user"
                " ID'."
            )

        yield from self._repair(customer_id, None)

    # -- one customer ------------------------------------------------------------------

    def _repair(
        self, customer_id: str, changes: tuple[Change, ...] | None
    ) -> Iterator[Outcome]:
        """Store what is known of a customer, and say what that changed.

        :param changes: ``None`` if Stripe is to be asked.
        """
        before = self._find([customer_id]).get(customer_id)

        if before is None:
            return

        failure = None
        user_id = before.payer.user_id

        try:
            if self._dry_run:
                after = self._foresee(before, customer_id, changes)
                self._foreseen[customer_id] = after
            else:
                self._store(user_id, customer_id, changes)
        except FATAL_ERRORS:
            raise
        except Exception as error:
            self._state.session.rollback()
            logger.debug("Customer %s: %r", customer_id, error, exc_info=error)
            failure = Failure(user_id, customer_id, error)

        repair = _repair_between(before, self._read(before, customer_id), customer_id)

        if repair is not None:
            self._changed.add(customer_id)
            yield repair

        if failure is not None:
            yield failure

    def _store(
        self, user_id: Any, customer_id: str, changes: tuple[Change, ...] | None
    ) -> None:
        instance = self._state.payers.keys.load(self._state.session, user_id)

        if instance is None:  # deleted meanwhile
            return

        if any(change.time is None for change in changes or ()):
            changes = None  # nothing tells whether a webhook was newer

        read = partial(self._ask, customer_id)
        sync_customer(self._state, instance, customer_id, read, changes)

    def _read(self, before: CustomerState, customer_id: str) -> CustomerState:
        """The customer now; as it was before, if the user is gone."""
        if customer_id in self._foreseen:
            return self._foreseen[customer_id]

        session, payers = self._state.session, self._state.payers
        payer = payers.get(session, before.payer.user_id)
        rows = self._state.rows.of(session, customer_id)
        session.commit()
        return before if payer is None else CustomerState(payer, rows)

    def _foresee(
        self,
        before: CustomerState,
        customer_id: str,
        changes: tuple[Change, ...] | None,
    ) -> CustomerState:
        """The customer as it would be stored."""
        after = None if changes is None else before.after(changes)

        if after is None:
            try:
                after = before.after(self._ask(customer_id, before))
            except InvalidRequestError as error:
                if not is_deleted_customer(error):
                    raise

                after = before.after([CustomerDeleted(now())])

        return (after or before).projected(self._state.settings.active_statuses)

    def _ask(self, customer_id: str, customer: CustomerState) -> tuple[Change, ...]:
        self.requests += 1
        changes = list_from_stripe(self._state, customer_id, customer)
        self.subscriptions += sum(isinstance(change, Answer) for change in changes)
        return changes
