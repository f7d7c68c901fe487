"""Parameters of older calls: what older versions have differently, in a table.

:data:`PARAMS` lists the changes, oldest first. A call of an older version goes through
all changes of its parameters since then, and is read as one of the newest version. What
a version did not have yet is refused as unknown.

Source: https://docs.stripe.com/changelog
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

from ..sandbox_errors import ApiError
from ..sandbox_errors import not_simulated
from ..sandbox_errors import parameter_unknown
from .downgrades import UI_MODES
from .known_versions import BASIL

Upgrade = Callable[[dict[str, Any]], None]


class ParamChange(NamedTuple):
    """A change that a version made to the parameters of a call."""

    since: str
    method: str
    #: The path as the API's routes have it.
    path: str
    #: Changes parameters of the version before, in place, into those of this one.
    upgrade: Upgrade


def upgrade_params(
    method: str, path: str, params: dict[str, Any], version: str
) -> None:
    """Take a call's parameters, in place, forward to the newest version.

    They are decoded, but not read: values are strings.

    :param path: The path as :data:`..web.routes.CALLS` has it.
    :raises ApiError: For a parameter that the version does not have.
    """
    counts = method == "GET" and path.startswith("/v1/") and "include" in params

    if counts and version >= BASIL:
        raise ApiError(
            "Lists no longer have a total_count since 2025-03-31.basil.",
            code="property_forbidden",
            param="include",
        )

    for change in PARAMS:
        if (change.method, change.path) == (method, path) and change.since > version:
            change.upgrade(params)


def _new_params(*names: str) -> Upgrade:
    """Return a change that refuses parameters; a dot leads into one.

    :param names: Those that did not exist before the version.
    """

    def upgrade(params: dict[str, Any]) -> None:
        """Refuse the first of the parameters that was sent."""
        for path in names:
            *parents, name = path.split(".")
            target: Any = params

            for parent in parents:
                target = target.get(parent) if isinstance(target, dict) else None

            if isinstance(target, dict) and name in target:
                first, *rest = path.split(".")
                raise parameter_unknown(first + "".join(f"[{key}]" for key in rest))

    return upgrade


def _singular_coupon(params: dict[str, Any]) -> None:
    """``coupon`` and ``promotion_code`` became entries of ``discounts``."""
    names = [name for name in ("coupon", "promotion_code") if name in params]

    if not names:
        return

    if len(names) > 1 or "discounts" in params:
        raise ApiError(
            "You may only specify one of these parameters: coupon, promotion_code,"
            " discounts.",
            param=names[0],
        )

    value = params.pop(names[0])
    params["discounts"] = {"0": {names[0]: value}} if value else ""


def _no_customer_coupon(params: dict[str, Any]) -> None:
    """Refuse the coupon of a whole customer, which older versions have."""
    for name in ("coupon", "promotion_code"):
        if name in params:
            raise not_simulated(name)


def _no_words_in_cancel_at(params: dict[str, Any]) -> None:
    """Refuse ``min_period_end`` and the like: ``cancel_at`` was a time."""
    value = params.get("cancel_at")

    if isinstance(value, str) and value.endswith(("_period_end", "_until")):
        raise ApiError(
            f"Invalid integer: {value}",
            code="parameter_invalid_integer",
            param="cancel_at",
        )


def _classic_subscription(params: dict[str, Any]) -> None:
    """Make classic billing the default, as it was."""
    params.setdefault("billing_mode", {"type": "classic"})


def _classic_checkout(params: dict[str, Any]) -> None:
    """Make classic billing the default of what a session sells."""
    data = params.setdefault("subscription_data", {})

    if isinstance(data, dict):
        _classic_subscription(data)


def _upcoming_details(params: dict[str, Any]) -> None:
    """``subscription_items`` became ``subscription_details[items]``, and so on."""
    details = params.setdefault("subscription_details", {})

    for name in [name for name in params if name.startswith("subscription_")]:
        if name != "subscription_details" and isinstance(details, dict):
            details[name.removeprefix("subscription_")] = params.pop(name)


def _in_details(upgrade: Upgrade) -> Upgrade:
    """Return a change of the parameters in ``subscription_details``."""

    def upgrade_details(params: dict[str, Any]) -> None:
        """Change what is in ``subscription_details``, if it is there."""
        details = params.get("subscription_details")

        if isinstance(details, dict):
            upgrade(details)

    return upgrade_details


def _no_end_in_pending_updates(params: dict[str, Any]) -> None:
    """Refuse an end that waits for a payment: that is new."""
    waits = params.get("payment_behavior") == "pending_if_incomplete"

    if waits and "cancel_at_period_end" in params:
        raise ApiError(
            "With `payment_behavior=pending_if_incomplete` you cannot pass"
            " cancel_at_period_end.",
            param="cancel_at_period_end",
        )


def _coupon_of_promotion(params: dict[str, Any]) -> None:
    """Put ``coupon`` of a promotion code into ``promotion``."""
    if "coupon" in params:
        params["promotion"] = {"type": "coupon", "coupon": params.pop("coupon")}


def _old_ui_mode(params: dict[str, Any]) -> None:
    """Use the names that pages have since dahlia.

    :raises ApiError: For a name that the older version does not have.
    """
    names = {old: new for new, old in UI_MODES.items()}
    value = params.get("ui_mode")

    if value is None:
        return

    if value not in names:
        raise ApiError(
            f"Invalid ui_mode: must be one of {', '.join(sorted(names))}",
            param="ui_mode",
        )

    params["ui_mode"] = names[value]


def _listed_payment_methods(params: dict[str, Any]) -> None:
    """Cards are what the sandbox takes, whatever is listed."""
    params.pop("payment_method_types", None)


def _plain_anchor(params: dict[str, Any]) -> None:
    """Write ``billing_cycle_anchor`` as a mapping, which was a plain word.

    :raises ApiError: For another word than ``now`` and ``unchanged``.
    """
    value = params.get("billing_cycle_anchor")

    if value is None:
        return

    if value not in ("now", "unchanged"):
        raise ApiError(
            "Invalid billing_cycle_anchor: must be one of now, unchanged",
            param="billing_cycle_anchor",
        )

    params["billing_cycle_anchor"] = {"type": value}


_CHECKOUT = "/v1/checkout/sessions"
_PREVIEW = "/v1/invoices/create_preview"
_SUBSCRIPTIONS = "/v1/subscriptions"
_SUBSCRIPTION = "/v1/subscriptions/<id>"
_UPCOMING = ("/v1/invoices/upcoming", "/v1/invoices/upcoming/lines")

#: Oldest first.
PARAMS: tuple[ParamChange, ...] = tuple(
    ParamChange(since, "GET" if path in _UPCOMING else "POST", path, upgrade)
    for since, path, upgrade in (
        (BASIL, "/v1/customers", _no_customer_coupon),
        (BASIL, "/v1/customers/<id>", _no_customer_coupon),
        (BASIL, _SUBSCRIPTIONS, _singular_coupon),
        (BASIL, _SUBSCRIPTION, _singular_coupon),
        (BASIL, _PREVIEW, _singular_coupon),
        *((BASIL, path, _upcoming_details) for path in _UPCOMING),
        *((BASIL, path, _singular_coupon) for path in _UPCOMING),
        ("2025-06-30.basil", _CHECKOUT, _new_params("subscription_data.billing_mode")),
        ("2025-06-30.basil", _SUBSCRIPTIONS, _new_params("billing_mode")),
        ("2025-07-30.basil", _SUBSCRIPTIONS, _no_words_in_cancel_at),
        ("2025-07-30.basil", _SUBSCRIPTION, _no_words_in_cancel_at),
        # Flexible billing is the default since then.
        ("2025-09-30.clover", _CHECKOUT, _classic_checkout),
        ("2025-09-30.clover", _SUBSCRIPTIONS, _classic_subscription),
        ("2025-09-30.clover", "/v1/promotion_codes", _new_params("promotion")),
        ("2025-09-30.clover", "/v1/promotion_codes", _coupon_of_promotion),
        ("2026-03-25.dahlia", _CHECKOUT, _new_params("integration_identifier")),
        ("2026-03-25.dahlia", _CHECKOUT, _old_ui_mode),
        (
            "2026-09-30.endive",
            _CHECKOUT,
            _new_params("allowed_payment_method_types"),
        ),
        ("2026-09-30.endive", _CHECKOUT, _listed_payment_methods),
        ("2026-09-30.endive", _SUBSCRIPTION, _plain_anchor),
        ("2026-09-30.endive", _SUBSCRIPTION, _no_end_in_pending_updates),
        ("2026-09-30.endive", f"{_SUBSCRIPTION}/resume", _plain_anchor),
        *(
            ("2026-09-30.endive", path, _in_details(_plain_anchor))
            for path in (_PREVIEW, *_UPCOMING)
        ),
    )
)
