"""Signed webhooks: in order, with retries, and a record of every attempt."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import requests

from ..signatures import sign_payload
from .core import Core
from .recipients import find_recipient
from .store import Object

#: Brings a body with headers to a URL and returns the HTTP status of the answer.
Sender = Callable[[str, bytes, Mapping[str, str]], int]

#: Real seconds before each further attempt. Stripe's sandboxes try three times within
#: hours; nobody waits that long for a local one.
RETRY_DELAYS = (0.5, 2.0, 8.0)
CHECKOUT_WAIT = 10.0
_TIMEOUT = 30.0
_STOP_TIMEOUT = 5.0


def send_over_http(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Post a webhook. A redirect is not followed, and counts as a failure.

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
    """One try to bring an event to an endpoint.

    :param at: The sandbox's time.
    :param status: HTTP status of the answer; ``None`` if there was none.
    :param error: What went wrong, in words.
    """

    endpoint_id: str
    url: str
    at: int
    status: int | None
    error: str | None

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(order=True)
class _Job:
    """An event on its way to an endpoint; the heap's order is the order of sending."""

    due: float
    number: int
    event_id: str = field(compare=False)
    endpoint_id: str = field(compare=False)
    retries: int = field(compare=False, default=0)


class Delivery:
    """Brings events to the endpoints that want them.

    First attempts go out in the order of the events; retries come later and hold
    nothing up. Between :meth:`start` and :meth:`stop` a thread does the work,
    otherwise whoever calls :meth:`drain` or :meth:`wait_idle`.

    Two locks, always taken in this order: the store's, then ours. Neither is held
    while a webhook is under way.

    :param core: The account whose events these are.
    :param send: How a webhook gets there.
    """

    def __init__(
        self,
        core: Core,
        send: Sender = send_over_http,
        *,
        retry_delays: Sequence[float] = RETRY_DELAYS,
    ) -> None:
        self._core = core
        self._send = send
        self._retry_delays = tuple(retry_delays)
        self._changed = threading.Condition()
        self._jobs: list[_Job] = []
        self._under_way: list[_Job] = []
        self._numbers = 0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        self._stopping = False
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

    def enqueue(self, event: Object, endpoint_ids: Sequence[str]) -> None:
        """Send an event to endpoints as soon as possible."""
        with self._changed:
            for endpoint_id in endpoint_ids:
                self._add(0.0, event["id"], endpoint_id)

            self._changed.notify_all()

    def wait_for(self, event_id: str, timeout: float = CHECKOUT_WAIT) -> bool:
        """Wait until every endpoint was told once about an event, in vain or not.

        :returns: Whether that was so before the time was up.
        """

        def pending(job: _Job) -> bool:
            return job.event_id == event_id and not job.retries

        return self._wait(pending, timeout)

    def drain(self, timeout: float = _TIMEOUT) -> bool:
        """Wait until every event so far was sent once, in vain or not."""
        return self._wait(lambda job: not job.retries, timeout)

    def wait_idle(self, timeout: float = _TIMEOUT) -> bool:
        """Wait until nothing is to be sent any more, retries included."""
        return self._wait(lambda job: True, timeout)

    def _wait(self, pending: Callable[[_Job], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout

        while True:
            with self._changed:
                jobs = [*self._jobs, *self._under_way]

                if not any(pending(job) for job in jobs):
                    return True

                left = deadline - time.monotonic()

                if left <= 0 or self._stopping:
                    return False

                job = None if self._thread is not None else self._take()

                if job is None:
                    self._changed.wait(min(left, self._until_due()))
                    continue

            self._perform(job)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return

                job = self._take()

                if job is None:
                    self._changed.wait(self._until_due())
                    continue

            self._perform(job)

    def _add(
        self, due: float, event_id: str, endpoint_id: str, retries: int = 0
    ) -> None:
        self._numbers += 1
        heapq.heappush(
            self._jobs, _Job(due, self._numbers, event_id, endpoint_id, retries)
        )

    def _take(self) -> _Job | None:
        if not self._jobs or self._jobs[0].due > time.monotonic():
            return None

        job = heapq.heappop(self._jobs)
        self._under_way.append(job)
        return job

    def _until_due(self) -> float:
        if not self._jobs:
            return 60.0

        return max(0.0, self._jobs[0].due - time.monotonic())

    def _perform(self, job: _Job) -> None:
        try:
            attempt = self._attempt(job)
        finally:
            with self._changed:
                self._under_way.remove(job)
                self._changed.notify_all()

        if attempt is None or attempt.succeeded:
            return

        if job.retries < len(self._retry_delays):
            due = time.monotonic() + self._retry_delays[job.retries]

            with self._changed:
                self._add(due, job.event_id, job.endpoint_id, job.retries + 1)
                self._changed.notify_all()

    def _attempt(self, job: _Job) -> Attempt | None:
        store = self._core.store

        with store.lock:
            event = store.find("event", job.event_id)
            recipient = find_recipient(store, job.endpoint_id)

            if event is None or recipient is None:
                return None

            url, secret = recipient
            payloads = store.hidden[job.event_id]["payloads"]
            body = json.dumps(payloads.get(job.endpoint_id, event)).encode()

        # The signature has real time even where the clock was moved, as with Stripe's
        # test clocks.
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign_payload(body, secret, timestamp=int(time.time())),
            "User-Agent": "Stripe/1.0 (sandbox of flask_kavach_stripe)",
        }
        status, error = None, None

        try:
            status = self._send(url, body, headers)
        except requests.Timeout:
            error = f"No answer within {_TIMEOUT:.0f} seconds."
        except requests.ConnectionError:
            error = "Nobody answers at this address."
        except Exception as caught:
            error = f"{type(caught).__name__}: {caught}"

        with store.lock:
            attempt = Attempt(
                job.endpoint_id, url, self._core.clock.now(), status, error
            )
            store.hidden[job.event_id]["attempts"].append(attempt)

            if attempt.succeeded:
                event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)

        return attempt
