"""The live mode of the account: empty, and behind a key of its own.

An app that goes live keeps its database, which is full of ids of test mode. Stripe
answers a live key that there is no such object, and adds that one exists in test mode.
Nothing can be created here.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..object_store import Object
from ..object_store import Store
from ..resource import list_object
from ..resource import Params
from ..sandbox_errors import ApiError
from ..sandbox_errors import resource_missing
from .routes import Call

#: Parameters that name an object, and what messages call it.
_NAMES = {"customer": "customer", "subscription": "subscription", "price": "price"}


def live_key_of(test_key: str) -> str:
    """Return the live key that belongs to a test key."""
    return f"{test_key.replace('_test_', '_live_', 1)}_live"


def answer_live(store: Store, call: Call, ids: Sequence[str], params: Params) -> Object:
    """Answer a call that was made with the live key.

    :param ids: Those in the path.
    :param params: Decoded.
    :return: An empty list.
    :raises ApiError: ``resource_missing`` for every object; ``sandbox_not_simulated``
        for a call that would create one.
    """
    for object_id in ids:
        raise _missing(store, call.answers.replace("_", " "), object_id, "id", 404)

    for name, noun in _NAMES.items():
        value = params.get(name)

        if isinstance(value, str):
            raise _missing(store, noun, value, name, 400)

    if call.answers.startswith("list of "):
        return list_object([], call.path)

    raise ApiError(
        "The sandbox's live mode is empty, and nothing can be created in it.",
        code="sandbox_not_simulated",
    )


def _missing(
    store: Store, noun: str, object_id: str, param: str, status: int
) -> ApiError:
    """Return Stripe's error, with the hint if test mode has the object."""
    obj = store.find_any(object_id)

    if obj is None:
        return resource_missing(noun, object_id, param, status=status)

    error = resource_missing(
        str(obj["object"]).replace("_", " "), object_id, param, status=status
    )
    error.message += (
        "; a similar object exists in test mode, but a live mode key was used to make"
        " this request."
    )
    return error
