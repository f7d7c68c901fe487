"""Marks are bound to the app, the table, the user and the customer."""

from __future__ import annotations

from typing import Any

import pytest

from flask_kavach_stripe.marks import Marker

MARKER = Marker(["secret"], "users")


def test_mark_is_32_hex_digits() -> None:
    metadata = MARKER.metadata(7, "cus_1")

    assert metadata.keys() == {"kavach_user_id", "kavach_mark"}
    assert metadata["kavach_user_id"] == "7"
    assert len(metadata["kavach_mark"]) == 32
    assert set(metadata["kavach_mark"]) <= set("0123456789abcdef")
    assert metadata == Marker([b"secret", "old"], "users").metadata("7", "cus_1")


def test_every_part_makes_another_mark() -> None:
    marks = {
        Marker([secret], table).metadata(user_id, customer_id)["kavach_mark"]
        for secret in ("secret", "other")
        for table in ("users", "teams")
        for user_id in (1, 11)
        for customer_id in (None, "", "cus_1", "cus_2")
    }

    assert len(marks) == 32


def test_mark_is_read_with_its_customer_alone() -> None:
    metadata = MARKER.metadata(7, "cus_1")

    assert MARKER.read(metadata, "cus_1") == "7"
    assert MARKER.read(metadata, "cus_2") is None
    assert MARKER.read(metadata) is None
    assert Marker(["new", "secret"], "users").read(metadata, "cus_1") == "7"


@pytest.mark.parametrize(
    "metadata",
    [None, [], "x", {}, {"kavach_user_id": 7}, {"kavach_mark": "x"}]
    + [{"kavach_user_id": "7", "kavach_mark": mark} for mark in (7, None, "\ud800")],
)
def test_odd_metadata_are_no_mark(metadata: Any) -> None:
    assert MARKER.read(metadata) is None
