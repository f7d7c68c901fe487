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
        "transactions.py",
        'if connection.dialect.name != "sqlite":',
        "if True:",
        "test_processing.py",
    ),
    Fault(
        "claim committed alone",
        "storing.py",
        "                state.sender.send(session, writes)\n",
        "                state.sender.send(session, claims)\n"
        "                session.commit()\n"
        "                raise ConnectionError\n",
        "test_processing.py",
    ),
    Fault(
        "duplicates are not recognised",
        "storing.py",
        "            if locked.entry is not None:\n",
        "            if False:\n",
        "test_processing.py test_webhooks.py",
    ),
    Fault(
        "a processed event runs its handlers again",
        "ledger.py",
        "attempted = change.where(self._is_unprocessed).values(",
        "attempted = change.values(",
        "test_processing.py",
    ),
    Fault(
        "handlers' writes kept on failure",
        "running.py",
        "    state.session.rollback()\n    record_failure(state",
        "    state.session.commit()\n    record_failure(state",
        "test_processing.py",
    ),
    Fault(
        "hook lost on retry",
        "processing.py",
        "            changed=changed,\n",
        "            changed=False,\n",
        "test_processing.py",
    ),
    Fault(
        "commit in a handler commits",
        "transactions.py",
        "session.commit = session.flush",
        "session.commit = session.commit",
        "test_processing.py",
    ),
    Fault(
        "rollback in a handler goes unnoticed",
        "transactions.py",
        "if not transaction.is_active:",
        "if False:",
        "test_processing.py",
    ),
    Fault(
        "failures are not recorded",
        "running.py",
        "            state.ledger.fail(state.session, event_id, error)\n",
        "",
        "test_processing.py",
    ),
    Fault(
        "answer stored over newer rows",
        "storing.py",
        "if reading is not None and reading.revisions == revisions:",
        "if reading is not None:",
        "test_webhooks.py",
    ),
    Fault(
        "lock held while Stripe is asked",
        "storing.py",
        "            session.commit()  # nothing is written: this lets the lock go\n",
        "",
        "test_processing.py",
    ),
    # -- which event wins ------------------------------------------------------------
    Fault(
        "stale update applied",
        "subscriptions.py",
        "if newer_by < -TICK:",
        "if False:",
        "test_ordering.py test_subscriptions.py",
    ),
    Fault(
        "`created` over a stored row",
        "subscriptions.py",
        "    if snapshot.event_type == CREATED:\n        return Verdict.KEEP\n",
        "",
        "test_ordering.py test_subscriptions.py",
    ),
    Fault(
        "canceled subscriptions come back",
        "subscriptions.py",
        "if stored is not None and stored.state.has_ended:",
        "if False:",
        "test_ordering.py test_subscriptions.py",
    ),
    Fault(
        "events of one second in order of arrival",
        "subscriptions.py",
        "    return Verdict.REREAD\n\n\ndef _decide_payment_failure",
        "    return _write(stored, state, time)\n\n\ndef _decide_payment_failure",
        "test_ordering.py test_subscriptions.py",
    ),
    Fault(
        "a failed first payment is past due",
        "subscriptions.py",
        'if failure.billing_reason not in (None, "subscription_cycle"):',
        "if False:",
        "test_subscriptions.py test_kavachos.py",
    ),
    Fault(
        "a retry of an old invoice is past due",
        "subscriptions.py",
        "if failure.period_end < paid_until:",
        "if False:",
        "test_subscriptions.py test_webhooks.py",
    ),
    Fault(
        "only `cancel_at_period_end` counts",
        "objects.py",
        '        or read_time(subscription.get("cancel_at")) is not None\n',
        "",
        "test_objects.py test_kavachos.py",
    ),
    Fault(
        "only the old place of the period",
        "objects.py",
        "min((end for end in period_ends if end is not None), default=None)",
        "None",
        "test_objects.py test_kavachos.py",
    ),
    # -- whose event it is -----------------------------------------------------------
    Fault(
        "payment link links",
        "storing.py",
        "if checkout.from_payment_link or checkout.names_user:",
        "if checkout.names_user:",
        "test_webhooks.py test_kavachos.py",
    ),
    Fault(
        "another app's session links",
        "storing.py",
        "if checkout.from_payment_link or checkout.names_user:",
        "if checkout.from_payment_link:",
        "test_webhooks.py test_kavachos.py",
    ),
    Fault(
        "open session completes",
        "objects.py",
        'is_complete=session.get("status") == "complete",',
        "is_complete=True,",
        "test_billing.py",
    ),
    Fault(
        "another user's session completes",
        "billing.py",
        "if owner is None or owner.user_id != account.user_id:",
        "if owner is None:",
        "test_billing.py",
    ),
    Fault(
        "events of the other mode count",
        "processing.py",
        "if livemode is None or event.livemode in (None, livemode):",
        "if True:",
        "test_webhooks.py test_processing.py",
    ),
    # -- who may come in -------------------------------------------------------------
    Fault(
        "first secret only",
        "signatures.py",
        "for secret in secrets if secret.strip()",
        "for secret in secrets[:1] if secret.strip()",
        "test_signatures.py",
    ),
    Fault(
        "blank secret accepted",
        "signatures.py",
        "for secret in secrets if secret.strip()",
        "for secret in secrets",
        "test_signatures.py",
    ),
    Fault(
        "old timestamps accepted",
        "signatures.py",
        "if not abs(age) <= tolerance:",
        "if -age > tolerance:",
        "test_signatures.py",
    ),
    Fault(
        "timestamps of the future accepted",
        "signatures.py",
        "if not abs(age) <= tolerance:",
        "if age > tolerance:",
        "test_signatures.py",
    ),
    Fault(
        "posts from other sites accepted",
        "views.py",
        "if is_cross_site(request, state.settings):",
        "if False:",
        "test_checkout.py",
    ),
    Fault(
        "the webhook needs a CSRF token",
        "views.py",
        "        csrf.exempt(webhook)\n",
        "        csrf.exempt(_to_json)\n",
        "test_checkout.py test_extension.py",
    ),
    Fault(
        "every price may be bought",
        "purchases.py",
        "if price_id is None or not settings.any_price:",
        "if price_id is None:",
        "test_checkout.py",
    ),
    Fault(
        "a second trial is granted",
        "purchases.py",
        "    is_first = not has_ever_subscribed(user)\n",
        "    is_first = True\n",
        "test_checkout.py",
    ),
    Fault(
        "a second subscription may be bought",
        "purchases.py",
        '    {"active", "trialing", "past_due", "unpaid", "paused"}\n',
        '    {"active", "trialing"}\n',
        "test_checkout.py",
    ),
    # -- how Stripe is called --------------------------------------------------------
    Fault(
        "redirects followed",
        "client.py",
        "allow_redirects=False,",
        "allow_redirects=True,",
        "test_client.py",
    ),
    Fault(
        "~/.netrc honoured",
        "client.py",
        "        return requests.Request(\n"
        "            method, url, headers=headers, data=data, auth=self._authorize\n"
        "        ).prepare()\n",
        "        headers['Authorization'] = f'Bearer {self._api_key}'\n"
        "        return requests.Session().prepare_request(\n"
        "            requests.Request(method, url, headers=headers, data=data)\n"
        "        )\n",
        "test_client.py",
    ),
    Fault(
        "a new idempotency key for each parallel checkout",
        "customers.py",
        'state.client.post("/v1/customers", params, idempotency_key=key)',
        'state.client.post("/v1/customers", params)',
        "test_checkout.py test_billing.py",
    ),
    Fault(
        "constant idempotency key",
        "client.py",
        "idempotency_key = str(uuid.uuid4())",
        'idempotency_key = "constant"',
        "test_client.py",
    ),
    Fault(
        "customer link overwritten",
        "accounts.py",
        "self._link_first = link.where(customer.is_(None))",
        "self._link_first = link",
        "test_checkout.py test_billing.py",
    ),
    Fault(
        "our metadata can be overridden",
        "sessions.py",
        '"metadata": {**(metadata or {}), **own_metadata},',
        '"metadata": {**own_metadata, **(metadata or {})},',
        "test_billing.py test_checkout.py",
    ),
    # -- recovery --------------------------------------------------------------------
    Fault(
        "a list of Stripe wins over a newer webhook",
        "repairs.py",
        "Snapshot(state, time, UPDATED)",
        "Answer(state, time)",
        "test_sync.py",
    ),
    Fault(
        "a second that goes on on the next page is forgotten",
        "repairs.py",
        "listed = self._of_second.union(dated)",
        "listed = frozenset(dated)",
        "test_sync.py",
    ),
    Fault(
        "a key of another account ends everything",
        "repairs.py",
        "if not self._knows_customers:",
        "if False:",
        "test_sync.py",
    ),
    Fault(
        "missed events are processed from the middle on",
        "catching_up.py",
        "next(reversed(self._missed(page)), oldest)",
        "next(iter(self._missed(page)), oldest)",
        "test_catch_up.py",
    ),
    Fault(
        "unprocessed events are pruned",
        "ledger.py",
        "self._model.id.in_(event_ids), self._model.processed_at.is_not(None)",
        "self._model.id.in_(event_ids)",
        "test_prune.py",
    ),
    Fault(
        "a pattern of a handler is not sent",
        "endpoints.py",
        "    if open_patterns:\n",
        "    if False:\n",
        "test_webhook_command.py",
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
