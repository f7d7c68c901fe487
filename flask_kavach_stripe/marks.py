"""Marks: how we recognise at Stripe what we created for a user. Pure.

Everything that we create carries two metadata: ``kavach_user_id``, and ``kavach_mark``,
which proves that an app with our ``SECRET_KEY`` wrote the first. Nobody else can make a
mark: no browser, no Payment Link, no other app on the same Stripe account, and no copy
of the database with another ``SECRET_KEY``.

A mark proposes a user, it does not link one: a primary key is given again after a
backup was restored. ``billing.relink`` has the other conditions.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Final

from .stripe_api.objects import as_mapping
from .stripe_api.objects import USER_ID_KEY

#: The metadata key of the mark.
MARK_KEY: Final = "kavach_mark"

_LENGTH: Final = 32  # hex digits, half of the HMAC


class Marker:
    """Makes and checks the marks of one app.

    :param secrets: ``SECRET_KEY``, then ``SECRET_KEY_FALLBACKS``. The first one makes
        marks, each of them is accepted. Without a secret, there are no marks.
    :param table: The name of the users' table.
    """

    def __init__(self, secrets: Sequence[str | bytes], table: str) -> None:
        self._secrets = [
            secret.encode() if isinstance(secret, str) else secret for secret in secrets
        ]
        self._table = table

    def metadata(
        self, user_id: object, customer_id: str | None = None
    ) -> dict[str, str]:
        """Return the metadata of an object that is created for a user.

        :param user_id: The primary key.
        :param customer_id: The object's customer; ``None`` for a customer itself.
        """
        text = str(user_id)
        metadata = {USER_ID_KEY: text}

        if self._secrets:
            metadata[MARK_KEY] = self._mark(self._secrets[0], text, customer_id)

        return metadata

    def read(self, metadata: object, customer_id: str | None = None) -> str | None:
        """Read the user whom an object was created for.

        :param metadata: The object's metadata, in any form.
        :param customer_id: As for :meth:`metadata`.
        :return: The primary key as text; ``None`` without a good mark.
        """
        values = as_mapping(metadata)
        user_id, mark = values.get(USER_ID_KEY), values.get(MARK_KEY)

        if not isinstance(user_id, str) or not isinstance(mark, str):
            return None

        is_good = any(
            hmac.compare_digest(
                self._mark(secret, user_id, customer_id).encode(),
                mark.encode("utf-8", "replace"),
            )
            for secret in self._secrets
        )
        return user_id if is_good else None

    def read_object(
        self, stripe_object: Mapping[str, Any], customer_id: str
    ) -> str | None:
        """Read the user whom an object of an event was created for.

        A customer has its own mark. An invoice repeats the metadata of its
        subscription.

        :param customer_id: The customer that the event is about.
        :return: As :meth:`read`.
        """
        if stripe_object.get("object") == "customer":
            return self.read(stripe_object.get("metadata"))

        parent = as_mapping(stripe_object.get("parent"))
        places = (
            stripe_object,
            as_mapping(parent.get("subscription_details")),
            as_mapping(stripe_object.get("subscription_details")),
        )
        readings = (self.read(place.get("metadata"), customer_id) for place in places)
        return next((user_id for user_id in readings if user_id is not None), None)

    def _mark(self, secret: bytes, user_id: str, customer_id: str | None) -> str:
        text = json.dumps([MARK_KEY, self._table, user_id, customer_id])
        digest = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        return digest[:_LENGTH]
