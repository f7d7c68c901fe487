"""Signed webhooks: in order, with retries, faults, and a record of every attempt.

Source: https://docs.stripe.com/webhooks
"""

from __future__ import annotations

import heapq
import json
import math
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import requests

from ...stripe_api.signatures import sign_payload
from ..faults import Fault
from ..faults import Faults
from ..object_store import Object
from ..recipients import find_recipient
from ..versions.downgrades import downgrade_event
from ..world import World

#: Brings a body with headers to a URL and returns the HTTP status of the answer.
Sender = Callable[[str, bytes, Mapping[str, str]], int]

#: Seconds before each further attempt: real ones while a thread delivers, otherwise
#: those of the sandbox's clock.
# Differs from Stripe: its sandboxes try three times within hours, which is too long to
# wait for a local one.
RETRY_DELAYS = (0.5, 2.0, 8.0)
CHECKOUT_WAIT = 10.0
_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0
_WRONG_SECRET = "whsec_of_somebody_else"  # noqa: S105  (made up)
#: By how many places, or real seconds, a reordered event falls back at most.
_REORDERED_BY = 8.0
_REORDERED_SECONDS = 1.0


def send_over_http(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post a webhook and return the status of the answer.

    A redirect is not followed, and counts as a failure. Proxies of the environment are
    not used.

    :raises requests.RequestException: If there is no answer within 30 seconds.

    Source: https://docs.stripe.com/webhooks
    """
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(
            url,
            data=body,
            headers=dict(headers),
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        return response.status_code


@dataclass(frozen=True)
class Attempt:
    """One attempt to bring an event to an endpoint.

    :param at: The sandbox's time, in Unix seconds.
    :param status: HTTP status of the answer; ``None`` if there was none.
    :param error: What went wrong, in words.
    :param fault: The kind of fault that struck on the way.
    """

    event_id: str
    event_type: str
    endpoint_id: str
    url: str
    at: int
    status: int | None
    error: str | None
    fault: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint took the event: the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(order=True)
class _Job:
    """An event on its way to an endpoint; the heap's order is the order of sending."""

    due: float
    place: float
    event_id: str = field(compare=False)
    endpoint_id: str = field(compare=False)
    retries: int = field(compare=False, default=0)
    #: Held back by a fault: :meth:`Delivery.drain` does not wait for it.
    is_late: bool = field(compare=False, default=False)
    #: Sent on request: it meets no fault and is not tried again.
    is_manual: bool = field(compare=False, default=False)


class Delivery:
    """Brings events to the endpoints that want them.

    First attempts go out in the order of the events; retries come later and hold
    nothing up. (Stripe promises no order; the fault ``reorder`` breaks it.) Between
    :meth:`start` and :meth:`stop` a thread does the work, in real time. Otherwise
    nothing is sent until another method is called, and time is the sandbox's: there is
    no real waiting.

    Two locks, always taken in this order: the store's, then this object's. Neither is
    held while a webhook is under way.

    :param world: The account that the events belong to.
    :param faults: What goes wrong on the way.
    :param send: How a webhook gets there.
    :param retry_delays: Seconds before each further attempt.
    """

    def __init__(
        self,
        world: World,
        faults: Faults,
        send: Sender = send_over_http,
        *,
        retry_delays: Sequence[float] = RETRY_DELAYS,
    ) -> None:
        self.send = send
        #: Is called with every attempt, in the thread that made it.
        self.on_attempt: Callable[[Attempt], object] | None = None
        self._world = world
        self._faults = faults
        self._retry_delays = tuple(retry_delays)
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._under_way: list[_Job] = []
        self._numbers = 0
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._is_busy = False

    # In a thread

    def start(self) -> None:
        """Start the thread; what waits is sent at once."""
        self._stopping = False

        with self._changed:
            for job in self._jobs:  # their times were those of the sandbox's clock
                job.due = 0.0

            heapq.heapify(self._jobs)
            self._thread = threading.Thread(
                target=self._run, name="sandbox-webhooks", daemon=True
            )

        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was not sent stays undelivered."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT)
            self._thread = None

    def _run(self) -> None:
        """Send what is due, and sleep until the next webhook is."""
        while True:
            with self._changed:
                if self._stopping:
                    return

                job = self._next_job(self._now())

                if job is None:
                    self._changed.wait(self._until_due())
                    continue

            self._perform(job)

    # What is to be sent

    def enqueue(self, event: Object, endpoint_ids: Sequence[str]) -> None:
        """Send an event to endpoints, at once or when the faults let it."""
        if not endpoint_ids:
            return

        with self._changed:
            for endpoint_id in endpoint_ids:
                self._enqueue(event, endpoint_id)

            self._changed.notify_all()

    def resend(self, event_id: str, endpoint_ids: Sequence[str]) -> None:
        """Send an event once more, past all faults, now.

        Retries that are planned stay planned, as with Stripe.
        """
        with self._changed:
            for endpoint_id in endpoint_ids:
                self._add(_Job(self._now(), 0, event_id, endpoint_id, is_manual=True))

            self._changed.notify_all()

        self.drain()

    def _enqueue(self, event: Object, endpoint_id: str) -> None:
        """Put one webhook in the queue, twice or later if a fault wants it."""
        job = _Job(self._now(), 0, event["id"], endpoint_id)
        event_type = event["type"]

        if (fault := self._faults.strike(("delay",), event_type)) is not None:
            job.due += fault.seconds
            job.is_late = True

        self._add(job, may_fall_back=event_type)

        if self._faults.strike(("duplicate",), event_type) is not None:
            again = _Job(job.due, 0, event["id"], endpoint_id, is_late=job.is_late)
            self._add(again, may_fall_back=event_type)

    def _add(self, job: _Job, *, may_fall_back: str | None = None) -> None:
        """Put a job at the end.

        :param may_fall_back: The event type, where a fault may put others before it.
        """
        self._numbers += 1
        job.place = float(self._numbers)

        if (
            may_fall_back is not None
            and self._faults.strike(("reorder",), may_fall_back) is not None
        ):
            if self._thread is None:
                job.place += self._faults.between(1.0, _REORDERED_BY)
            else:
                job.due += self._faults.between(0.0, _REORDERED_SECONDS)

        heapq.heappush(self._jobs, job)

    # Waiting, or doing it oneself

    @property
    def next_due(self) -> int | None:
        """When something is to be sent by the sandbox's clock, in Unix seconds.

        ``None`` if nothing is, or if the thread takes care of it.
        """
        with self._changed:
            if self._thread is not None or not self._jobs:
                return None

            return math.ceil(self._jobs[0].due)

    def wait_for(self, event_id: str, timeout: float = CHECKOUT_WAIT) -> bool:
        """Wait until an event was sent once to every endpoint, in vain or not.

        :param timeout: Real seconds.
        :returns: Whether that was so before the time was up.
        """

        def pending(job: _Job) -> bool:
            """Is this a first attempt for the event?"""
            return job.event_id == event_id and not job.retries and not job.is_late

        return self._wait(pending, timeout)

    def drain(self, timeout: float = _TIMEOUT) -> bool:
        """Wait until every event so far was sent once, in vain or not.

        What faults hold back is not waited for. Without a thread: send what is due.
        """
        return self._wait(lambda job: not job.retries and not job.is_late, timeout)

    def wait_idle(self, timeout: float = _TIMEOUT) -> bool:
        """Wait until nothing is to be sent any more, retries included.

        Without a thread: send all of it now, whatever its time.
        """
        if self._thread is None:
            self._work_off(everything=True)
            return not self._jobs

        return self._wait(lambda job: True, timeout)

    def _wait(self, pending: Callable[[_Job], bool], timeout: float) -> bool:
        """Wait for the thread to finish some jobs; without a thread, do what is due.

        :param pending: Which jobs are waited for.
        """
        if self._thread is None:
            self._work_off()
            return True

        deadline = time.monotonic() + timeout

        with self._changed:
            while any(map(pending, [*self._jobs, *self._under_way])):
                left = deadline - time.monotonic()

                if left <= 0 or self._stopping:
                    return False

                self._changed.wait(left)

        return True

    def _work_off(self, *, everything: bool = False) -> None:
        """Send in this thread what is due, or everything."""
        with self._changed:
            if self._is_busy:  # a webhook caused this: its events follow it
                return

            self._is_busy = True

        try:
            while True:
                with self._changed:
                    job = self._next_job(math.inf if everything else self._now())

                if job is None:
                    return

                self._perform(job)
        finally:
            self._is_busy = False

    def _now(self) -> float:
        """Return the time that jobs are due by: the thread's, or the sandbox's."""
        if self._thread is None:
            # Not that of a test clock, on which an event may have come to be.
            return self._world.clock.unpinned()

        return time.monotonic()

    def _next_job(self, until: float) -> _Job | None:
        """Take the first job off the queue if it is due."""
        if not self._jobs or self._jobs[0].due > until:
            return None

        job = heapq.heappop(self._jobs)
        self._under_way.append(job)
        return job

    def _until_due(self) -> float:
        """Return how many seconds the thread may sleep."""
        if not self._jobs:
            return 60.0

        return max(0.0, self._jobs[0].due - time.monotonic())

    # Sending

    def _perform(self, job: _Job) -> None:
        """Send one webhook, and plan the next attempt if that fails."""
        try:
            attempt = self._attempt(job)
        finally:
            with self._changed:
                self._under_way.remove(job)
                self._changed.notify_all()

        if attempt is None or attempt.succeeded or job.is_manual:
            return

        if job.retries < len(self._retry_delays):
            with self._changed:
                due = self._now() + self._retry_delays[job.retries]
                retries = job.retries + 1
                self._add(_Job(due, 0, job.event_id, job.endpoint_id, retries))
                self._changed.notify_all()

    def _attempt(self, job: _Job) -> Attempt | None:
        """Write, sign and send one webhook, with the fault that strikes it.

        :returns: ``None`` if event or endpoint is gone.
        """
        store = self._world.store

        with store.lock:
            event = store.find_any(job.event_id)
            recipient = find_recipient(store, job.endpoint_id)

            if event is None or recipient is None:
                return None

            fault = None if job.is_manual else self._strike(event)
            kind = None if fault is None else fault.kind
            url, secret = recipient
            payload = store.hidden[job.event_id]["payloads"].get(job.endpoint_id, event)

            has_versions = payload["object"] == "event"

            if fault is not None and fault.kind == "old_version" and has_versions:
                payload = downgrade_event(event, fault.api_version, store)

            body = json.dumps(payload).encode()

        if kind == "drop":
            return self._record(job, event, url, None, "Dropped by a fault.", kind)

        if kind == "wrong_secret":
            secret = _WRONG_SECRET

        if kind == "concurrent":
            other = threading.Thread(
                target=self._send, args=(job, event, url, body, secret, kind)
            )
            other.start()
            attempt = self._send(job, event, url, body, secret, kind)
            other.join()
            return attempt

        return self._send(job, event, url, body, secret, kind)

    def _strike(self, event: Object) -> Fault | None:
        """Return the fault that strikes a webhook while it is sent, if one does."""
        return self._faults.strike(
            ("concurrent", "drop", "old_version", "wrong_secret"), event["type"]
        )

    def _send(
        self,
        job: _Job,
        event: Object,
        url: str,
        body: bytes,
        secret: str,
        fault: str | None,
    ) -> Attempt:
        """Sign a body, send it and note the outcome, without any lock."""
        # The signature has real time even where the clock was moved, as with Stripe's
        # test clocks.
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign_payload(body, secret, timestamp=int(time.time())),
            "User-Agent": "Stripe/1.0 (sandbox of flask_kavach_stripe)",
        }
        status, error = None, None

        try:
            status = self.send(url, body, headers)
        except requests.Timeout:
            error = f"No answer within {_TIMEOUT:.0f} seconds."
        except requests.ConnectionError:
            error = "Nobody answers at this address."
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"

        return self._record(job, event, url, status, error, fault)

    def _record(
        self,
        job: _Job,
        event: Object,
        url: str,
        status: int | None,
        error: str | None,
        fault: str | None,
    ) -> Attempt:
        """Keep an attempt, and count down the event's ``pending_webhooks``."""
        with self._world.store.lock:
            attempt = Attempt(
                event["id"],
                event["type"],
                job.endpoint_id,
                url,
                self._world.clock.now(),
                status,
                error,
                fault,
            )
            attempts = self._world.hidden_of(event)["attempts"]
            reached = {old.endpoint_id for old in attempts if old.succeeded}
            attempts.append(attempt)

            if attempt.succeeded and job.endpoint_id not in reached and "data" in event:
                event["pending_webhooks"] -= 1

        if self.on_attempt is not None:
            self.on_attempt(attempt)

        return attempt
