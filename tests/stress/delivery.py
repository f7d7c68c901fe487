"""Deliver events as Stripe does: signed, late, out of order, more than once, again."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from http.client import HTTPException
from random import Random

from flask_kavach_stripe.testing import sign_payload

from .shop import ATTEMPT_HEADER
from .shop import WEBHOOK_PATH
from .shop import WEBHOOK_SECRET
from .truth import Object
from .truth import Truth

HOST = "127.0.0.1"
CONNECTIONS = 8

#: Seconds that Stripe waits for an answer.
TIMEOUT = 30

#: How often each event is sent; one is drawn.
COPIES = (1, 1, 2, 3)

#: How many of the deliveries are forged, and must be refused.
FORGED_SHARE = 0.01

#: Time is counted in deliveries here. By how much one is late at most: the events of
#: some customers come side by side, and no later one repairs what went wrong then;
#: those of the others come in any order.
LATEST = (CONNECTIONS, 600)
#: How many deliveries are planned ahead.
PLANNED = 600
#: After how much it is tried again, the first time; then twice as long, and so on.
RETRY_AFTER = 20
LONGEST_RETRY = 1280

#: Stripe tries for three days. Who has failed as often as this will fail forever.
MAX_ATTEMPTS = 40

#: The status of a connection that was refused or cut, and of one without an answer.
CUT = 0
TIMED_OUT = -1

#: Seconds in which a connection rests when the app is down.
REST = 0.05


@dataclass
class Delivery:
    """One copy of an event under way."""

    number: int
    body: bytes
    is_forged: bool = False
    attempts: int = 0

    def is_done(self, status: int) -> bool:
        return status == (400 if self.is_forged else 200)


class Engine:
    """Sends what happens to an app, over several connections.

    :param seed: Decides the order, the copies and the forgeries.
    """

    def __init__(self, truth: Truth, port: int, seed: str) -> None:
        self.answers: Counter[tuple[bool, int]] = Counter()
        #: What was never answered as it should be.
        self.given_up: list[Delivery] = []
        self.retries = 0
        self.done = 0
        self._truth = truth
        self._port = port
        self._seed = seed
        self._random = Random(f"{seed} deliveries")  # noqa: S311
        self._changed = threading.Condition()
        self._schedule: list[tuple[float, int, Delivery]] = []
        self._now = 0
        self._planned = 0
        self._goal = 0
        self._under_way = 0
        self._is_over = False

    def deliver(self, count: int) -> None:
        """Let things happen until there are so many deliveries, and end with them."""
        self._goal += count

        try:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                for worker in [pool.submit(self._work) for _ in range(CONNECTIONS)]:
                    worker.result()
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def wait_for(self, done: int) -> None:
        """Wait until so many deliveries are done, or no more will be."""
        with self._changed:
            self._changed.wait_for(lambda: self.done >= done or self._is_over)

    def _work(self) -> None:
        while delivery := self._take():
            status = self._post(delivery)
            self._settle(delivery, status)

            if status in (CUT, 503):
                time.sleep(REST)

    def _take(self) -> Delivery | None:
        """The next delivery, ``None`` when all are done."""
        with self._changed:
            self._plan()
            self._changed.wait_for(lambda: self._schedule or not self._under_way)

            if not self._schedule:
                return None

            due, _, delivery = heapq.heappop(self._schedule)
            self._now = max(self._now + 1, int(due))
            self._under_way += 1
            delivery.attempts += 1
            return delivery

    def _plan(self) -> None:
        """Let things happen while there is little to deliver."""
        while self._planned < self._goal and len(self._schedule) < PLANNED:
            for event in self._truth.go_on():
                self._plan_event(event)

    def _plan_event(self, event: Object) -> None:
        body = json.dumps(event).encode()
        customer_id = event["data"]["object"]["customer"]
        latest = Random(f"{self._seed} {customer_id}").choice(LATEST)  # noqa: S311
        bodies = [(body, False)] * self._random.choice(COPIES)

        if self._random.random() < FORGED_SHARE:
            bodies.append((body.replace(b"evt_", b"evt_forged_"), True))

        for sent, is_forged in bodies:
            self._planned += 1
            delivery = Delivery(self._planned, sent, is_forged)
            self._put(delivery, self._random.uniform(0, latest))

    def _put(self, delivery: Delivery, delay: float) -> None:
        heapq.heappush(self._schedule, (self._now + delay, delivery.number, delivery))

    def _settle(self, delivery: Delivery, status: int) -> None:
        with self._changed:
            self._under_way -= 1
            self.answers[delivery.is_forged, status] += 1

            if delivery.is_done(status):
                self.done += 1
            elif delivery.attempts == MAX_ATTEMPTS:
                self.done += 1
                self.given_up.append(delivery)
            else:
                self.retries += 1
                delay = RETRY_AFTER * 2 ** (delivery.attempts - 1)
                self._put(delivery, min(delay, LONGEST_RETRY))

            self._changed.notify_all()

    def _post(self, delivery: Delivery) -> int:
        secret = "whsec_of_a_forger" if delivery.is_forged else WEBHOOK_SECRET
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign_payload(delivery.body, secret),
            ATTEMPT_HEADER: f"{delivery.number}/{delivery.attempts}",
        }
        connection = HTTPConnection(HOST, self._port, timeout=TIMEOUT)

        try:
            connection.request("POST", WEBHOOK_PATH, delivery.body, headers)
            response = connection.getresponse()
            response.read()
            return response.status
        except TimeoutError:
            return TIMED_OUT
        except (OSError, HTTPException):
            return CUT
        finally:
            connection.close()
