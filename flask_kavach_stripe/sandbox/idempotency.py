"""``Idempotency-Key``: one key, one operation.

The first answer to a key is kept for a day, errors included, and given again to the
same request. Only an error that came before anything was done leaves the key free.

Source: https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from .clock import Clock
from .clock import DAY
from .sandbox_errors import ApiError

MAX_LENGTH = 255


@dataclass(frozen=True)
class Answer:
    """The answer to a request, as it is sent again."""

    status: int
    body: str
    request_id: str


@dataclass
class Entry:
    """A key; it has no answer while its request is being answered."""

    fingerprint: str
    began: int
    answer: Answer | None = None


class IdempotencyKeys:
    """The keys of the last day, and their answers.

    It has a lock of its own: a second request with a key in use is answered at once
    with 409, while the first still holds the store's lock.

    :param clock: Its time decides when a key is a day old and forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}

    def begin(self, key: str, fingerprint: str) -> Answer | None:
        """Claim a key for a request.

        :param fingerprint: Method, path and parameters.
        :returns: The answer of the request that had the key before, if there was one.
        :raises ApiError: ``idempotency_error`` if the key belongs to a request with
            other parameters; ``idempotency_key_in_use`` (409) if its request is still
            being answered.
        """
        if len(key) > MAX_LENGTH:
            raise ApiError(f"Idempotency keys have at most {MAX_LENGTH} characters.")

        now = self._clock.unpinned()

        with self._lock:
            entry = self._entries.get(key)

            if entry is None or entry.began + DAY <= now:
                self._entries[key] = Entry(fingerprint, now)
                return None

            if entry.fingerprint != fingerprint:
                raise ApiError(
                    "Keys for idempotent requests can only be used with the same"
                    f" parameters they were first used with. Try using a key other"
                    f" than '{key}' if you meant to execute a different request.",
                    type="idempotency_error",
                )

            if entry.answer is None:
                raise ApiError(
                    "There is currently another in-progress request using this"
                    f" Idempotency Key: {key}.",
                    status=409,
                    code="idempotency_key_in_use",
                )

            return entry.answer

    def find(self, key: str) -> Entry | None:
        """Return the entry of a key, also of one that is in use."""
        with self._lock:
            return self._entries.get(key)

    def finish(self, key: str, answer: Answer) -> None:
        """Remember the answer to a key's request."""
        with self._lock:
            self._entries[key].answer = answer

    def abandon(self, key: str) -> None:
        """Forget a key: its request was refused before anything was done."""
        with self._lock:
            self._entries.pop(key, None)
