"""Break the package on purpose, one fault at a time, and see the tests turn red.

    python tests/broken_on_purpose.py [NAME ...]

Each fault is applied to a copy of the project; the tests named beside it run there and
must fail. A fault that no test notices, or whose text is not in the code any more,
makes the script exit with status 1. The copy without faults must be green.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PACKAGE = "flask_kavach_stripe"
WORKERS = 2


@dataclass(frozen=True)
class Fault:
    """A change to one module, and the tests that have to notice it."""

    name: str
    module: str
    old: str
    new: str
    tests: str


FAULTS = (
    # -- what is stored, and how often -----------------------------------------------
    Fault(
        "no row lock",
        "database/transactions.py",
        'if connection.dialect.name != "sqlite":',
        "if True:",
        "exactly_once/test_ledger.py",
    ),
    Fault(
        "claim committed alone",
        "events/store.py",
        "    state.sender.send(session, writes)\n",
        "    state.sender.send(session, writes[-1:])\n"
        "    session.commit()\n"
        "    state.sender.send(session, writes[:-1])\n",
        "exactly_once/test_failures.py",
    ),
    Fault(
        "duplicates are not recognised",
        "events/store.py",
        "            if entry is not None:\n",
        "            if False:\n",
        "exactly_once/test_ledger.py",
    ),
    Fault(
        "a processed event runs its handlers again",
        "database/ledger.py",
        "counted = change.where(self._is_unprocessed)",
        "counted = change",
        "exactly_once/test_queue.py",
    ),
    Fault(
        "handlers' writes kept on failure",
        "events/run.py",
        "    state.session.rollback()\n    record_failure(state",
        "    state.session.commit()\n    record_failure(state",
        "exactly_once/test_failures.py",
    ),
    Fault(
        "hook lost on retry",
        "database/ledger.py",
        '"change": entry.change,',
        '"change": None,',
        "exactly_once/test_changes.py",
    ),
    Fault(
        "commit in a handler commits",
        "database/transactions.py",
        "session.commit = session.flush",
        "session.commit = session.commit",
        "exactly_once/test_session.py",
    ),
    Fault(
        "commit stays a flush after the handlers",
        "database/transactions.py",
        'vars(session).pop("commit", None)',
        "",
        "exactly_once/test_session.py",
    ),
    Fault(
        "the app's own commit is lost after the handlers",
        "database/transactions.py",
        "        if app_commit is not None:\n",
        "        if False:\n",
        "exactly_once/test_session.py",
    ),
    Fault(
        "rollback in a handler goes unnoticed",
        "database/transactions.py",
        "            not self._transaction.is_active\n"
        "            or self._was_commit_refused\n"
        "            or self._connection.get_transaction()"
        " is not self._database_transaction\n",
        "            self._was_commit_refused\n",
        "exactly_once/test_session.py",
    ),
    Fault(
        "failures are not recorded",
        "events/run.py",
        "            state.ledger.fail("
        "state.session, entry_id, error, is_counted=is_counted)\n",
        "",
        "exactly_once/test_failures.py",
    ),
    Fault(
        "the notification of a change stays after its handlers",
        "events/run.py",
        "        if event is None and pending.entry_id is not None:\n",
        "        if False:\n",
        "helpers/test_sync.py",
    ),
    Fault(
        "answer stored over newer rows",
        "events/store.py",
        "if before.revisions(update.subscription_id) == revisions:",
        "if True:",
        "webhook/test_reading_from_stripe.py",
    ),
    Fault(
        "lock held while Stripe is asked",
        "events/store.py",
        "            session.commit()  # nothing is written: this releases the lock\n",
        "",
        "exactly_once/test_concurrency.py",
    ),
    Fault(
        "a handler registered again runs twice",
        "registry.py",
        "        if not former:\n",
        "        if True:\n",
        "extension/test_registered_again.py",
    ),
    Fault(
        "the worker does not count the attempt before the handlers",
        "events/retry.py",
        "        state.ledger.count_attempt(session, event_id)\n"
        "        session.commit()\n"
        "\n"
        "    return _run_stored(state, stored, is_counted=True)\n",
        "        session.commit()\n\n    return _run_stored(state, stored)\n",
        "operations/test_worker.py",
    ),
    Fault(
        "a helper calls Stripe inside of a transaction block",
        "database/transactions.py",
        "    if (is_in_block or session.in_nested_transaction()) and not"
        " is_running_handlers(\n"
        "        session\n"
        "    ):\n",
        "    if False:\n",
        "helpers/test_transaction_blocks.py",
    ),
    Fault(
        "reads with a lock go to the replica",
        "database/transactions.py",
        "session.connection(bind_arguments=_bind_arguments(model))",
        'session.connection(bind_arguments={"mapper": inspect(model)})',
        "databases/test_replicas.py",
    ),
    # -- thin events -----------------------------------------------------------------
    Fault(
        "a thin event is read under the lock",
        "events/receive.py",
        "        event.attach_object(read_object(state, event))\n",
        "        begin_write(state.session, state.event_model)\n"
        "        event.attach_object(read_object(state, event))\n",
        "exactly_once/test_concurrency.py",
    ),
    Fault(
        "a thin event is not read",
        "events/receive.py",
        "    if event.is_thin and (effect is not None or has_handlers):\n",
        "    if False:\n",
        "webhook/test_thin.py",
    ),
    Fault(
        "a replay reads a thin event under the lock",
        "events/retry.py",
        "        state.ledger.count_attempt(session, event_id)\n"
        "        session.commit()\n",
        "        state.ledger.count_attempt(session, event_id)\n",
        "exactly_once/test_concurrency.py",
    ),
    Fault(
        "a worker does not read a thin event",
        "events/run.py",
        "        if not pending.event.has_object:\n",
        "        if False:\n",
        "exactly_once/test_queue.py",
    ),
    # -- which event wins ------------------------------------------------------------
    Fault(
        "stale update applied",
        "customer_state.py",
        "if newer_by < -TICK:",
        "if False:",
        "test_subscriptions.py",
    ),
    Fault(
        "`created` over a stored row",
        "customer_state.py",
        "    if snapshot.event_type == CREATED:\n        return Verdict.KEEP\n",
        "",
        "test_subscriptions.py",
    ),
    Fault(
        "canceled subscriptions come back",
        "customer_state.py",
        "if stored is not None and stored.state.has_ended:",
        "if False:",
        "test_subscriptions.py",
    ),
    Fault(
        "events of one second in order of arrival",
        "customer_state.py",
        "    return Verdict.REREAD\n\n\ndef _write_snapshot",
        "    return _write_snapshot(stored, snapshot)\n\n\ndef _write_snapshot",
        "test_subscriptions.py",
    ),
    Fault(
        "a failed first payment is past due",
        "customer_state.py",
        'if failure.billing_reason not in (None, "subscription_cycle"):',
        "if False:",
        "test_subscriptions.py",
    ),
    Fault(
        "a retry of an old invoice is past due",
        "customer_state.py",
        "if failure.period_end < paid_until:",
        "if False:",
        "test_subscriptions.py",
    ),
    Fault(
        "only `cancel_at_period_end` counts",
        "stripe_api/objects.py",
        '"cancel_at_period_end") is True or cancel_at is not None',
        '"cancel_at_period_end") is True',
        "test_objects.py",
    ),
    Fault(
        "only the old place of the period",
        "stripe_api/objects.py",
        "    if periods:\n",
        "    if False:\n",
        "test_objects.py",
    ),
    # -- which item and which subscription count -------------------------------------
    Fault(
        "an add-on counts before the plan of the same subscription",
        "catalogue.py",
        "            if price is not None and not price.addon:\n",
        "            if price is not None:\n",
        "webhook/test_items.py",
    ),
    Fault(
        "add-ons count before plans",
        "customer_state.py",
        "            not access.catalogue.has_plan(state.items),\n",
        "            access.catalogue.has_plan(state.items),\n",
        "webhook/test_items.py",
    ),
    Fault(
        "guards look at the first item only",
        "guards.py",
        "for item in subscription.items",
        "for item in subscription.items[:1]",
        "test_guarded_items.py",
    ),
    Fault(
        "items beyond the first page are dropped",
        "events/ask.py",
        "    if not has_more_items(subscription):\n",
        "    if True:\n",
        "webhook/test_items.py",
    ),
    Fault(
        "an event that lacks items is stored",
        "customer_state.py",
        "    if not snapshot.has_all_items:\n",
        "    if False:\n",
        "webhook/test_items.py",
    ),
    Fault(
        "a scheduled end long past gives access",
        "subscription.py",
        " in self._access_rules.active_statuses and not self._is_over",
        " in self._access_rules.active_statuses",
        "helpers/test_subscription_details.py",
    ),
    # -- which user an event is about ------------------------------------------------
    Fault(
        "payment link links",
        "events/link.py",
        "if checkout.from_payment_link or checkout.names_user:",
        "if checkout.names_user:",
        "webhook/test_linking.py",
    ),
    Fault(
        "another app's session links",
        "events/link.py",
        "if checkout.from_payment_link or checkout.names_user:",
        "if checkout.from_payment_link:",
        "webhook/test_linking.py",
    ),
    Fault(
        "open session completes",
        "stripe_api/objects.py",
        'is_complete=session.get("status") == "complete",',
        "is_complete=True,",
        "helpers/test_complete_checkout.py",
    ),
    Fault(
        "another user's session completes",
        "events/link.py",
        "if owner is not None and (buyer is None or buyer.user_id != owner.user_id):",
        "if owner is not None and buyer is None:",
        "helpers/test_complete_checkout.py",
    ),
    Fault(
        "events of the other mode count",
        "events/receive.py",
        "if livemode is None or event.livemode in (None, livemode):",
        "if True:",
        "webhook/test_types.py",
    ),
    Fault(
        "a mark links without the e-mail",
        "billing/relink.py",
        '        and fold_email(customer.get("email")) == fold_email(email)\n',
        "",
        "security/test_marks.py",
    ),
    Fault(
        "a mark of another SECRET_KEY is good",
        "marks.py",
        "hmac.new(secret, text.encode(), hashlib.sha256)",
        'hmac.new(b"", text.encode(), hashlib.sha256)',
        "test_marks.py",
    ),
    Fault(
        "blank customer ids count",
        "database/payers.py",
        "return Payer(user_id, customer_id or None, _to_columns(*columns))",
        "return Payer(user_id, customer_id, _to_columns(*columns))",
        "webhook/test_items.py",
    ),
    Fault(
        "deleting a billed user passes",
        "billing/user_deletion.py",
        "if not user.stripe_subscription_id or not _is_protected():",
        "if True:",
        "extension/test_deleted_users.py",
    ),
    # -- who may come in -------------------------------------------------------------
    Fault(
        "first secret only",
        "stripe_api/signatures.py",
        "for secret in secrets if secret.strip()",
        "for secret in secrets[:1] if secret.strip()",
        "test_signatures.py",
    ),
    Fault(
        "blank secret accepted",
        "stripe_api/signatures.py",
        "for secret in secrets if secret.strip()",
        "for secret in secrets",
        "test_signatures.py",
    ),
    Fault(
        "old timestamps accepted",
        "stripe_api/signatures.py",
        "if not abs(age) <= tolerance:",
        "if -age > tolerance:",
        "test_signatures.py",
    ),
    Fault(
        "timestamps of the future accepted",
        "stripe_api/signatures.py",
        "if not abs(age) <= tolerance:",
        "if age > tolerance:",
        "test_signatures.py",
    ),
    Fault(
        "posts from other sites accepted",
        "views.py",
        "if is_cross_site(request, state.settings):",
        "if False:",
        "endpoints/test_cross_site.py",
    ),
    Fault(
        "the webhook needs a CSRF token",
        "views.py",
        "        csrf.exempt(webhook)\n",
        "        csrf.exempt(_to_json)\n",
        "endpoints/test_cross_site.py",
    ),
    Fault(
        "every price may be bought",
        "billing/offers.py",
        "if price_id is None or price is not None or not settings.any_price:",
        "if price_id is None or price is not None:",
        "endpoints/test_offers.py",
    ),
    Fault(
        "a second trial is granted",
        "billing/offers.py",
        "    is_first = is_first_plan(user, price)\n",
        "    is_first = True\n",
        "endpoints/test_offers.py",
    ),
    Fault(
        "a second subscription may be bought",
        "customer_state.py",
        '    {"active", "trialing", "past_due", "unpaid", "paused"}\n',
        '    {"active", "trialing"}\n',
        "endpoints/test_already_subscribed.py",
    ),
    Fault(
        "an old price id is for sale",
        "billing/offers.py",
        "    if price is not None and price.id == price_id:\n        return price\n",
        "    if price is not None and price_id is not None:\n"
        "        ids = (price_id, *price.ids)\n"
        "        return Price(ids, price.trial_days, price.quantity, price.addon)\n",
        "endpoints/test_catalogue.py",
    ),
    Fault(
        "a plan is sold although Stripe has one",
        "billing/selling.py",
        "    if not is_synced:\n",
        "    if False:\n",
        "endpoints/test_nothing_sold_twice.py",
    ),
    Fault(
        "older pages stay open",
        "billing/selling.py",
        "[other for other in older if not _expire(state, other)]",
        "list[CheckoutPage]()",
        "endpoints/test_nothing_sold_twice.py",
    ),
    Fault(
        "a form that fails gets JSON",
        "answers.py",
        "    if not is_from_person(request):\n",
        "    if True:\n",
        "endpoints/test_forms_for_people.py",
    ),
    # -- how Stripe is called --------------------------------------------------------
    Fault(
        "redirects followed",
        "stripe_api/client.py",
        "allow_redirects=False,",
        "allow_redirects=True,",
        "client/test_connections.py",
    ),
    Fault(
        "~/.netrc honoured",
        "stripe_api/client.py",
        "        return requests.Request(\n"
        "            method, url, headers=headers, data=data, auth=self._authorize\n"
        "        ).prepare()\n",
        "        headers['Authorization'] = f'Bearer {self._api_key}'\n"
        "        return requests.Session().prepare_request(\n"
        "            requests.Request(method, url, headers=headers, data=data)\n"
        "        )\n",
        "client/test_connections.py",
    ),
    Fault(
        "a new idempotency key for each parallel checkout",
        "billing/customers.py",
        'state.client.post("/v1/customers", params, idempotency_key=key)',
        'state.client.post("/v1/customers", params)',
        "endpoints/test_checkout_customers.py",
    ),
    Fault(
        "constant idempotency key",
        "stripe_api/client.py",
        "idempotency_key = str(uuid.uuid4())",
        'idempotency_key = "constant"',
        "client/test_requests.py",
    ),
    Fault(
        "customer link overwritten",
        "database/payers.py",
        '                or_(customer.is_(None), customer == ""),\n',
        "",
        "endpoints/test_checkout_customers.py",
    ),
    Fault(
        "our metadata can be overridden",
        "billing/checkout.py",
        '"metadata": {**(metadata or {}), **marks, **sale_metadata},',
        '"metadata": {**marks, **sale_metadata, **(metadata or {})},',
        "helpers/test_checkout.py",
    ),
    # -- recovery --------------------------------------------------------------------
    Fault(
        "a list of Stripe wins over a newer webhook",
        "operations/sync.py",
        "Snapshot(state, time, UPDATED)",
        "Answer(state, time)",
        "operations/test_sync.py",
    ),
    Fault(
        "the subscriptions of earlier pages are forgotten",
        "operations/sync.py",
        "listed.update(answer.subscription_id for answer in answers)",
        "listed = {answer.subscription_id for answer in answers}",
        "operations/test_sync.py",
    ),
    Fault(
        "a key of another account ends everything",
        "billing/presence.py",
        "if not presence.is_known:",
        "if False:",
        "helpers/test_sync.py endpoints/test_portal.py",
    ),
    Fault(
        "a row that Stripe's list lacks is ended",
        "billing/refresh.py",
        "        answer = _read_by_id(state, id_)\n",
        "        answer = Answer(stored.state.ended(None), None)\n",
        "helpers/test_sync.py",
    ),
    Fault(
        "missed events are processed from the middle on",
        "operations/catch_up.py",
        "next(reversed(self._missed(page)), oldest)",
        "next(iter(self._missed(page)), oldest)",
        "operations/test_catch_up.py",
    ),
    Fault(
        "unprocessed events are pruned",
        "database/ledger.py",
        "columns.id.in_(event_ids), columns.processed_at.is_not(None)",
        "columns.id.in_(event_ids)",
        "operations/test_prune.py",
    ),
    Fault(
        "a pattern of a handler is not sent",
        "operations/webhook_endpoints.py",
        "    if open_patterns:\n",
        "    if False:\n",
        "operations/test_webhook.py",
    ),
)


def copy_project(folder: Path) -> Path:
    """A copy of what the tests need."""
    copy = folder / "project"
    copy.mkdir()

    for name in ("pyproject.toml", "setup.cfg", "README.md", "CHANGES.rst"):
        shutil.copy(PROJECT / name, copy)

    for name in (PACKAGE, "tests", "examples"):
        ignored = shutil.ignore_patterns("__pycache__", "instance")
        shutil.copytree(PROJECT / name, copy / name, ignore=ignored)

    return copy


def run_tests(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run some tests of a copy."""
    return subprocess.run(  # noqa: S603 (our own interpreter and files)
        [
            *(sys.executable, "-B", "-m", "pytest", "-x", "-q"),
            *("-p", "no:cacheprovider", "--no-header"),
            *(f"tests/{name}" for name in tests),
        ],
        cwd=copy,
        capture_output=True,
        text=True,
    )


def try_fault(fault: Fault) -> str | None:
    """What is wrong with a fault, ``None`` if the tests noticed it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        module = copy / PACKAGE / fault.module
        code = module.read_text()

        if code.count(fault.old) != 1:
            return f"its text is {code.count(fault.old)} times in {fault.module}"

        module.write_text(code.replace(fault.old, fault.new))
        result = run_tests(copy, fault.tests.split())
        # 1: tests failed. All else is a run that went wrong in another way.
        return None if result.returncode == 1 else f"unnoticed\n{result.stdout[-2000:]}"


def main(names: Sequence[str]) -> int:
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    needed = sorted({test for fault in faults for test in fault.tests.split()})
    started = time.monotonic()

    with tempfile.TemporaryDirectory() as folder:
        sound = run_tests(copy_project(Path(folder)), needed)

    if sound.returncode != 0:
        print(f"The tests fail without a fault:\n{sound.stdout[-4000:]}")
        return 1

    with ThreadPoolExecutor(WORKERS) as pool:
        problems = list(pool.map(try_fault, faults))

    for fault, problem in zip(faults, problems, strict=True):
        print(f"{'ok     ' if problem is None else 'PROBLEM'} {fault.name}")

        if problem is not None:
            print(f"        {problem}")

    noticed = problems.count(None)
    seconds = time.monotonic() - started
    print(f"{noticed} of {len(faults)} faults noticed in {seconds:.0f} s")
    return 0 if noticed == len(faults) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
