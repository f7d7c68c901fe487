"""Make the database agree with Stripe, with one request for each 100 subscriptions.

1.  Read Stripe's list of all subscriptions, page by page. A customer that differs from
    our database is stored as by a webhook: the list's time decides, so that a webhook
    that arrives during the run is not undone.
2.  Look through our running rows for subscriptions that Stripe did not list, and
    through our users for columns that contradict the rows. Such a customer is only
    suspicious, because it may have changed since its page was read. So Stripe is asked
    for this customer alone. What Stripe does not know is reported, and stays as it is.
3.  Report the subscriptions that cost somebody money for nothing: running ones with our
    mark and a customer that no user has, and the second running one of a user.

A customer is a :class:`.CustomerState` here. What
changed is the difference between the state before and the state after.
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

from ..billing.presence import confirm_deletion
from ..billing.refresh import list_from_stripe
from ..billing.refresh import sync_customer
from ..billing.users import get_payer
from ..customer_state import Answer
from ..customer_state import BLOCKING_STATUSES
from ..customer_state import Change
from ..customer_state import CustomerDeleted
from ..customer_state import CustomerState
from ..customer_state import is_running_plan
from ..customer_state import Payer
from ..customer_state import Snapshot
from ..customer_state import UPDATED
from ..errors import FATAL_ERRORS
from ..errors import InvalidRequestError
from ..errors import KavachStripeError
from ..errors import UnknownCustomerError
from ..events.ask import to_answer
from ..events.ask import with_all_items
from ..state import State
from ..stripe_api.client import StripeResponse
from ..stripe_api.objects import now
from .explanations import is_expected
from .outcomes import Double
from .outcomes import Failure
from .outcomes import Outcome
from .outcomes import repair_between
from .outcomes import UnknownSubscription
from .running_subscriptions import find_unclaimed
from .running_subscriptions import Running

logger: Final = logging.getLogger(__name__)

#: How many of our rows one query reads.
_USERS = 500
_SUBSCRIPTIONS = 5000

#: A run ends after so many unknown customers, if Stripe knows none of ours.
_MAX_UNKNOWN: Final = 20


class Repairs:
    """One run of ``flask stripe sync`` over all users or one user, with its counts.

    :param dry_run: Yield what would change, and write nothing.
    """

    def __init__(self, state: State, *, dry_run: bool = False) -> None:
        self._state = state
        self._dry_run = dry_run
        #: How many subscriptions Stripe returned, and in how many requests.
        self.subscriptions: int = 0
        self.requests: int = 0
        #: The ids of the customers that were changed.
        self._changed: set[str] = set()
        #: Running subscriptions with our mark and a customer that no user has.
        self.orphans: list[Running] = []
        #: How many running subscriptions without a mark belong to nobody here.
        self.unmarked: int = 0
        #: Whether Stripe knows any of our customers, and how many it does not.
        self._knows_customers = False
        self._unknown_customers = 0
        #: By customer id: our rows that Stripe did not know when it was asked last.
        self._unknown: dict[str, Sequence[str]] = {}
        #: By customer id: the states that a dry run would have stored so far. The
        #: database still has the old ones.
        self._foreseen: dict[str, CustomerState] = {}

    @property
    def changed(self) -> int:
        """How many users were changed, or would be in a dry run."""
        return len(self._changed)

    def repair_user(self, user: Any) -> Iterator[Outcome]:
        """Compare one user with the customer's subscriptions at Stripe.

        Commits. Yields nothing for a user without a customer, as there is nothing to
        compare.

        :param user: A model instance or a primary key.
        :raises NoCustomerError: If there is no such user.
        """
        _, payer = get_payer(self._state, user)
        self._state.session.commit()

        if payer.customer_id is not None:
            yield from self._repair(payer.customer_id, None)

    def repair_all(self, on_page: Callable[[int], object]) -> Iterator[Outcome]:
        """Compare all users with Stripe's list of subscriptions. Commits.

        An error of one user is yielded as a :class:`Failure`, and the run goes on.

        :param on_page: Called after each page with its number of subscriptions.
        :raises KavachStripeError: If the key is probably one of another Stripe account,
            see :meth:`_stop_if_unknown`.
        :raises StripeError: If Stripe does not list the subscriptions, or an error of
            :data:`~flask_kavach_stripe.errors.FATAL_ERRORS` occurs.
        """
        listed: set[str] = set()
        params = {"status": "all", "limit": 100}

        for page in self._state.client.pages("/v1/subscriptions", params):
            answers = [
                to_answer(
                    with_all_items(
                        self._state.client,
                        StripeResponse(subscription, as_of=page.as_of),
                    )
                )
                for subscription in page["data"]
            ]
            self.requests += 1
            self.subscriptions += len(answers)
            listed.update(answer.subscription_id for answer in answers)
            ids = dict.fromkeys(answer.state.customer_id for answer in answers)
            known = self._find(list(ids))
            self._knows_customers |= bool(known)
            yield from self._repair_page(known, answers)
            orphans, unmarked = find_unclaimed(self._state, page["data"], known)
            self.orphans += orphans
            self.unmarked += unmarked
            on_page(len(answers))

        # A dict keeps the order, and each customer once.
        suspects = dict.fromkeys(self._find_unlisted(listed))
        suspects |= dict.fromkeys(self._find_inconsistent())

        for customer_id in suspects:
            yield from self._repair_suspect(customer_id)

    def find_doubles(self) -> Iterator[Double]:
        """Find the users who pay for two plans, by our rows. Commits.

        In a dry run, by the rows as they would be.
        """
        session, access = self._state.session, self._state.settings.access
        doubled = self._state.rows.list_doubled(session, BLOCKING_STATUSES)
        session.commit()

        for customer_id in dict.fromkeys([*doubled, *self._foreseen]):
            for customer in self._find([customer_id]).values():
                ids = [
                    each.id
                    for each in customer.best_first(access)
                    if is_running_plan(each, access.catalogue)
                ]

                if len(ids) > 1:
                    yield Double(customer.payer.user_id, customer_id, ids)

    # -- what Stripe lists -------------------------------------------------------------

    def _repair_page(
        self, known: Mapping[str, CustomerState], answers: Sequence[Answer]
    ) -> Iterator[Outcome]:
        """Repair the customers of one page that differ from our database.

        A page is read before our rows, so it may be older than they are. Its
        subscriptions are stored as snapshots, like those in events: the times of
        snapshot and row decide.

        :param known: The customers on the page that our users have.
        """
        changes: dict[str, list[Change]] = defaultdict(list)

        for state, time in answers:
            changes[state.customer_id].append(Snapshot(state, time, UPDATED))

        for customer_id, customer in known.items():
            listed = tuple(changes[customer_id])

            if self._differs(customer, listed):
                yield from self._repair(customer_id, listed)

    def _find(self, customer_ids: Sequence[str]) -> dict[str, CustomerState]:
        """The customers among some ids that our users have, by id. Commits."""
        payers = self._state.payers.find_all(self._state.session, customer_ids)
        return self._add_rows(payers)

    def _add_rows(self, payers: Mapping[str, Payer]) -> dict[str, CustomerState]:
        """The states of some customers, with one query for all their rows. Commits.

        In a dry run, the state that an earlier step would have stored.

        :param payers: By customer id, as the result is.
        """
        session = self._state.session
        rows = self._state.rows.of_all(session, list(payers))
        session.commit()
        return {
            id_: self._foreseen.get(id_) or CustomerState(payer, rows[id_])
            for id_, payer in payers.items()
        }

    def _differs(self, customer: CustomerState, changes: tuple[Change, ...]) -> bool:
        """Whether storing some changes would alter columns or subscriptions.

        Without changes: whether the columns contradict the rows. A difference only in
        times is none. So an equal customer costs no write, and a second run finds
        nothing to do.
        """
        after = customer.after(changes)

        if after is None:  # only Stripe can tell, so ask
            return True

        after = after.projected(self._state.settings.access)
        return after.payer != customer.payer or after.states != customer.states

    # -- what Stripe does not list -----------------------------------------------------

    def _find_unlisted(self, listed: Collection[str]) -> Iterator[str]:
        """The customers of our running subscriptions that Stripe did not list. Commits.

        :param listed: The ids of all subscriptions that Stripe listed.
        :return: The same customer several times, if several rows are not listed.
        """
        session, last = self._state.session, ""

        while batch := self._state.rows.list_running(
            session, last, limit=_SUBSCRIPTIONS
        ):
            session.commit()
            last = batch[-1].id
            yield from (row.customer_id for row in batch if row.id not in listed)

        session.commit()

    def _find_inconsistent(self) -> Iterator[str]:
        """The customers with columns that contradict their rows. Commits."""
        session, last = self._state.session, None

        while batch := self._state.payers.list_paying(session, last, limit=_USERS):
            payers = {str(payer.customer_id): payer for payer in batch}

            for customer_id, customer in self._add_rows(payers).items():
                if self._differs(customer, ()):
                    yield customer_id

            last = batch[-1].user_id

        session.commit()

    def _repair_suspect(self, customer_id: str) -> Iterator[Outcome]:
        """Ask Stripe for one suspicious customer, and store the answer.

        :raises KavachStripeError: See :meth:`_stop_if_unknown`.
        """
        if not self._find([customer_id]):
            return

        for outcome in self._repair(customer_id, None):
            yield outcome

            if isinstance(outcome, Failure):
                self._stop_if_unknown(outcome.error)

    def _stop_if_unknown(self, error: Exception) -> None:
        """Stop a run that asks for one unknown customer after the other.

        :raises KavachStripeError: If Stripe knows none of our customers so far, and did
            not know :data:`_MAX_UNKNOWN` of them.
        """
        self._unknown_customers += isinstance(error, UnknownCustomerError)

        if not self._knows_customers and self._unknown_customers >= _MAX_UNKNOWN:
            raise KavachStripeError(
                f"Stripe lists {self.subscriptions} subscriptions, and none of them is"
                " of a customer in this database. Is 'STRIPE_SECRET_KEY' a key of this"
                " app's account? Nothing was changed."
            )

    # -- one customer ------------------------------------------------------------------

    def _repair(
        self, customer_id: str, changes: tuple[Change, ...] | None
    ) -> Iterator[Outcome]:
        """Store a customer as it is at Stripe, and yield what changed.

        Commits. The state is read before and after, also if a handler raised, as the
        columns are stored then. Errors that every further request would meet are
        raised; all others are yielded as a :class:`Failure`.

        :param changes: The changes in Stripe's list; ``None`` to ask Stripe for this
            customer alone.
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
            level = logging.DEBUG if is_expected(error) else logging.ERROR
            name = type(error).__name__
            logger.log(level, "Customer %s: %s", customer_id, name, exc_info=error)
            failure = Failure(user_id, customer_id, error)

        repair = repair_between(before, self._read(before, customer_id), customer_id)

        if repair is not None:
            self._changed.add(customer_id)
            yield repair

        if failure is not None:
            yield failure

        for subscription_id in self._unknown.pop(customer_id, ()):
            yield UnknownSubscription(user_id, customer_id, subscription_id)

    def _store(
        self, user_id: Any, customer_id: str, changes: tuple[Change, ...] | None
    ) -> None:
        """Store a customer as the helper ``sync_subscription`` does. Commits.

        Stripe is asked if ``changes`` is ``None``, or has no times to compare with the
        rows, as for subscriptions with a test clock.
        """
        instance = self._state.payers.load(self._state.session, user_id)

        if instance is None:  # deleted meanwhile
            return

        if any(change.time is None for change in changes or ()):
            changes = None  # a webhook may have been newer: ask Stripe

        ask = partial(self._ask, customer_id)
        sync_customer(self._state, instance, customer_id, ask=ask, changes=changes)

    def _read(self, before: CustomerState, customer_id: str) -> CustomerState:
        """The customer as it is stored now. Commits.

        In a dry run, as it would be stored. ``before``, if the user was deleted.
        """
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
        """The customer as :meth:`_store` would store it. Writes nothing.

        Asks Stripe if ``changes`` is ``None`` or does not decide.
        """
        after = None if changes is None else before.after(changes)

        if after is None:
            try:
                after = before.after(self._ask(customer_id, before))
            except InvalidRequestError as error:
                confirm_deletion(self._state, customer_id, error)
                after = before.after([CustomerDeleted(now())])

        return (after or before).projected(self._state.settings.access)

    def _ask(self, customer_id: str, customer: CustomerState) -> tuple[Change, ...]:
        """Read all subscriptions of one customer from Stripe, and count them."""
        self.requests += 1
        listing = list_from_stripe(self._state, customer_id, customer)
        self.subscriptions += len(listing.answers)
        self._unknown[customer_id] = listing.unknown
        return listing.answers
