"""The base of all kinds of objects: finding one by id, and lists in pages."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from .object_store import Object
from .params import integer
from .params import LIST_SPEC
from .params import read
from .params import Spec
from .sandbox_errors import ApiError
from .sandbox_errors import resource_missing
from .world import World

Params = Mapping[str, Any]

#: What lists of the API's second version take.
PAGE_SPEC: Spec = {"limit": integer(1, 100), "page": integer(0)}

#: A list that is asked for one of these has the objects of test clocks, too.
_SHOW_TEST_CLOCKS = ("customer", "subscription", "test_clock")


class Resource:
    """One kind of object, with its calls.

    Methods that the API reaches are named as Stripe's libraries name them: ``create``,
    ``retrieve``, ``update``, ``list``, ``delete``. They take the decoded parameters,
    then the ids of the path, and return a stored object, which is copied before it is
    sent. All of them raise :exc:`.ApiError` with Stripe's codes for unknown, missing or
    malformed parameters.

    :param world: The account it lives in.
    """

    #: The ``object`` attribute of this kind, and its key in the store.
    kind: str
    #: What Stripe's messages call it.
    noun: str
    #: Where the API has it.
    path: str

    def __init__(self, world: World) -> None:
        self.world = world

    def get(self, object_id: str, param: str = "id", *, status: int = 404) -> Object:
        """Return an object that exists.

        :param param: The parameter that held the id, for the error.
        :param status: 404 for an id in the path, 400 for one in a parameter.
        :raises ApiError: ``resource_missing`` if there is no such object.
        """
        obj = self.world.store.find(self.kind, object_id)

        if obj is None:
            raise resource_missing(self.noun, object_id, param, status=status)

        return obj

    def retrieve(self, params: Params, object_id: str) -> Object:
        """Answer ``GET <path>/<id>``.

        :raises ApiError: ``resource_missing`` (404).
        """
        read(params, {})
        return self.get(object_id)

    def select(
        self,
        params: Params,
        spec: Spec,
        matches: Callable[[Object, Params], bool],
    ) -> Object:
        """Return a page of the objects that match, newest first.

        What lives on a test clock is shown to those who ask for it only.

        :param spec: The filters of this list, beside those of every list.
        :param matches: Whether an object fits the filters that were read.
        """
        wanted = read(params, {**LIST_SPEC, **spec})
        on_test_clocks = any(wanted.get(name) for name in _SHOW_TEST_CLOCKS)
        objects = [
            obj
            for obj in self.world.store.all(self.kind)
            if (on_test_clocks or not obj.get("test_clock")) and matches(obj, wanted)
        ]
        return page(objects, wanted, self.path, self.noun)


def page(objects: Sequence[Object], wanted: Params, url: str, noun: str) -> Object:
    """Cut one page out of a list.

    :param objects: All of them, newest first.
    :param wanted: ``limit``, ``starting_after``, ``ending_before``, ``include``.
    :raises ApiError: If both ends are given, or are not in the list.

    Source: https://docs.stripe.com/api/pagination
    """
    limit = wanted.get("limit") or 10

    def position(param: str) -> int:
        for index, obj in enumerate(objects):
            if obj["id"] == wanted[param]:
                return index

        raise resource_missing(noun, wanted[param], param)

    if "starting_after" in wanted and "ending_before" in wanted:
        raise ApiError(
            "A page begins after 'starting_after' or ends before 'ending_before'; give"
            " one of them.",
            code="parameters_exclusive",
        )

    if "ending_before" in wanted:
        end = position("ending_before")
        start = max(0, end - limit)
        has_more = start > 0
    else:
        start = position("starting_after") + 1 if "starting_after" in wanted else 0
        end = start + limit
        has_more = end < len(objects)

    result = list_object(objects[start:end], url, has_more=has_more)

    if "total_count" in (wanted.get("include") or ()):
        result["total_count"] = len(objects)

    return result


def page_by_url(
    objects: Sequence[Object], wanted: Params, url: str, query: Mapping[str, str]
) -> Object:
    """Cut one page out of a list, as the API's second version does it.

    :param objects: All of them, newest first.
    :param wanted: ``limit`` and ``page``, which is the place where the page begins.
    :param query: The other parameters, for the URL of the next page.

    Source: https://docs.stripe.com/api-v2-overview
    """
    limit, start = wanted.get("limit") or 20, wanted.get("page") or 0

    def link(at: int) -> str:
        return f"{url}?{urlencode({**query, 'limit': limit, 'page': at})}"

    end = start + limit
    return {
        "data": list(objects[start:end]),
        "next_page_url": link(end) if end < len(objects) else None,
        "previous_page_url": link(max(0, start - limit)) if start else None,
    }


def list_object(data: Sequence[Object], url: str, *, has_more: bool = False) -> Object:
    """Return a list in Stripe's shape: ``data``, ``has_more`` and ``url``."""
    return {"object": "list", "data": list(data), "has_more": has_more, "url": url}


def deleted(kind: str, object_id: str) -> Object:
    """Return what stands in place of an object that was deleted."""
    return {"id": object_id, "object": kind, "deleted": True}
