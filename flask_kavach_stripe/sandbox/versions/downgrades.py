"""Objects in the shape of older versions: what each version changed, in a table.

:data:`OBJECTS` lists the changes, newest first, each as a function that takes an object
of the version back to the one before. To write an object for a version, all changes
since that version are undone, from the newest on.

Source: https://docs.stripe.com/changelog
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from typing import NamedTuple

from ..money.item_prices import plan_of
from ..object_store import clone
from ..object_store import Object
from ..object_store import Store
from ..world import previous_attributes
from .known_versions import BASIL

Downgrade = Callable[[Object, Store], None]


class ObjectChange(NamedTuple):
    """A change that a version made to a kind of object, read backwards."""

    #: The first version with the new shape.
    since: str
    kind: str
    #: Changes an object of that version, in place, into one of the version before.
    downgrade: Downgrade


def downgrade(value: Any, version: str, store: Store) -> None:
    """Take an object, and what is in it, back to the shape of a version.

    Events stay as they are: they keep the version that they were written with.

    :param value: JSON data that no one else holds; it is changed in place.
    :param store: Where an older shape shows an object in full, or what is hidden now.
    """
    if changes := _downgrades(version):
        _walk(value, changes, store)


def downgrade_event(event: Object, version: str, store: Store) -> Object:
    """Return an event as an endpoint with an older version gets it.

    The attributes before a change are restored and taken back, too, so that
    ``previous_attributes`` names what has changed in the older shape.

    :returns: A copy; the event itself if no change concerns the version.
    """
    if not _downgrades(version):
        return event

    result: Object = clone(event)
    data = result["data"]
    after, previous = data["object"], data.get("previous_attributes")
    before = None if previous is None else _restore(clone(after), previous)
    downgrade(after, version, store)

    if before is not None:
        downgrade(before, version, store)
        data["previous_attributes"] = previous_attributes(before, after)

    result["api_version"] = version
    return result


@cache
def _downgrades(version: str) -> dict[str, tuple[Downgrade, ...]]:
    """Return the changes to undo for each kind of object, newest first."""
    kinds: dict[str, tuple[Downgrade, ...]] = {}

    for change in OBJECTS:
        if change.since > version:
            kinds[change.kind] = (*kinds.get(change.kind, ()), change.downgrade)

    return kinds


def _walk(value: Any, changes: dict[str, tuple[Downgrade, ...]], store: Store) -> None:
    """Take an object and everything in it back, in place."""
    if isinstance(value, list):
        for entry in value:
            _walk(entry, changes, store)
    elif isinstance(value, dict):
        kind = value.get("object")

        if kind == "event":
            return

        # The object first: it may still read the new shape of what is in it.
        for undo in changes.get(kind, ()) if isinstance(kind, str) else ():
            undo(value, store)

        for name, entry in value.items():
            if name != "metadata":
                _walk(entry, changes, store)


def _restore(obj: Object, previous: dict[str, Any]) -> Object:
    """Undo a change: put the previous attributes back."""
    for name, old in previous.items():
        if isinstance(old, dict) and isinstance(obj.get(name), dict):
            _restore(obj[name], old)
        else:
            obj[name] = clone(old)

    return obj


def _without(*paths: str) -> Downgrade:
    """Return a change that takes attributes away; a dot leads into one."""

    def downgrade(obj: Object, store: Store) -> None:
        """Take the attributes away, where they are."""
        for path in paths:
            *parents, name = path.split(".")
            target: Any = obj

            for parent in parents:
                target = target.get(parent) if isinstance(target, dict) else None

            if isinstance(target, dict):
                target.pop(name, None)

    return downgrade


def _expanded(store: Store, kind: str, value: Any) -> Any:
    """Return an object in place of its id; what is expanded already stays."""
    return clone(store.find(kind, value)) if isinstance(value, str) else value


def _hidden(store: Store, obj: Object, name: str) -> Any:
    """Return what belongs to an object, and is not shown in the newest version."""
    return store.hidden.get(obj.get("id", ""), {}).get(name)


UI_MODES = {"elements": "custom", "embedded_page": "embedded", "hosted_page": "hosted"}


def _rename_ui_mode(session: Object, store: Store) -> None:
    """Use the names that a page had before dahlia."""
    session["ui_mode"] = UI_MODES.get(session["ui_mode"], session["ui_mode"])


def _coupon_of(name: str) -> Downgrade:
    """Return a change that shows a coupon in full, where now its id is in a source.

    :param name: The attribute that names the source: ``source`` or ``promotion``.
    """

    def downgrade(obj: Object, store: Store) -> None:
        """Put the coupon in the place of its source."""
        source = obj.pop(name, None) or {}
        obj["coupon"] = _expanded(store, "coupon", source.get("coupon"))

    return downgrade


def _first_discount(obj: Object, store: Store) -> None:
    """Show one discount in full beside the list of ids, as before basil."""
    discounts = obj.get("discounts") or [None]
    obj["discount"] = _expanded(store, "discount", discounts[0])


def _period_on_subscription(subscription: Object, store: Store) -> None:
    """Of several items the current period is the one that all of them are in."""
    items = subscription["items"]["data"]
    subscription["current_period_start"] = max(
        (item["current_period_start"] for item in items), default=None
    )
    subscription["current_period_end"] = min(
        (item["current_period_end"] for item in items), default=None
    )


def _invoice_without_parent(invoice: Object, store: Store) -> None:
    """Name subscription and payment of an invoice directly, as before basil.

    ``charge`` and ``payment_intent`` were there in place of ``payments``, ``paid`` in
    place of the status, and ``tax`` in place of ``total_taxes``.
    """
    parent = invoice.pop("parent", None) or {}
    details = parent.get("subscription_details") or {}

    for name in ("amount_overpaid", "total_taxes"):
        invoice.pop(name, None)

    intent_id = _hidden(store, invoice, "payment_intent")
    intent = store.find("payment_intent", intent_id) or {}
    is_final = invoice["status"] != "draft"
    invoice.update(
        application_fee_amount=None,
        charge=intent.get("latest_charge") if invoice["attempted"] else None,
        paid=invoice["status"] == "paid",
        paid_out_of_band=_hidden(store, invoice, "paid_out_of_band") or False,
        payment_intent=intent_id if is_final else None,
        quote=(parent.get("quote_details") or {}).get("quote"),
        subscription=details.get("subscription"),
        subscription_details={"metadata": details.get("metadata")},
        tax=None,
        total_tax_amounts=[],
        transfer_data=None,
    )

    if details.get("subscription_proration_date") is not None:
        invoice["subscription_proration_date"] = details["subscription_proration_date"]


def _invoice_of_payment(intent: Object, store: Store) -> None:
    """Name the invoice of a payment intent, as before basil."""
    intent["invoice"] = _hidden(store, intent, "invoice")


def _invoice_of_charge(charge: Object, store: Store) -> None:
    """Name the invoice of a charge, as before basil."""
    hidden = store.hidden.get(charge["payment_intent"], {})
    charge["invoice"] = hidden.get("invoice")


def _line_without_parent(line: Object, store: Store) -> None:
    """Show price, plan and subscription of a line directly, as before basil."""
    parent = line.pop("parent", None) or {}
    of_item = parent.get("subscription_item_details") or {}
    details = of_item or parent.get("invoice_item_details") or {}
    pricing = line.pop("pricing", None) or {}
    price_id = (pricing.get("price_details") or {}).get("price")
    price = _expanded(store, "price", price_id)
    line.pop("taxes", None)
    line.update(
        amount_excluding_tax=line["amount"],
        plan=plan_of(price) if price and price["recurring"] else None,
        price=price,
        proration=details.get("proration", False),
        proration_details=details.get("proration_details") or {"credited_items": None},
        subscription=details.get("subscription"),
        tax_amounts=[],
        tax_rates=[],
        type="subscription" if of_item else "invoiceitem",
        unit_amount_excluding_tax=pricing.get("unit_amount_decimal"),
    )

    for name in ("invoice_item", "subscription_item"):
        if details.get(name) is not None:
            line[name] = details[name]


def _shipping_on_session(session: Object, store: Store) -> None:
    """Show shipping details of a session directly, as before basil."""
    collected = session.get("collected_information") or {}
    session["shipping_details"] = clone(collected.get("shipping_details"))


def _usage_of_plan(plan: Object, store: Store) -> None:
    """Add an attribute of metered prices that went with basil."""
    plan["aggregate_usage"] = None


def _usage_of_price(price: Object, store: Store) -> None:
    """Add an attribute of metered prices that went with basil."""
    if price["recurring"]:
        price["recurring"]["aggregate_usage"] = None


#: Newest first; of one version, in the order in which they are to be done.
OBJECTS: tuple[ObjectChange, ...] = tuple(
    ObjectChange(since, kind, downgrade)
    for since, kind, downgrade in (
        (
            "2026-10-28.endive",
            "billing_portal.session",
            _without("after_expiration", "flow.subscription_pause"),
        ),
        (
            "2026-10-28.endive",
            "billing_portal.configuration",
            _without("features.subscription_pause"),
        ),
        (
            "2026-09-30.endive",
            "billing_portal.configuration",
            _without(
                "features.subscription_cancel.cancellation_reason.feedback_options"
            ),
        ),
        (
            "2026-09-30.endive",
            "billing_portal.session",
            _without("flow.customer_update"),
        ),
        (
            "2026-09-30.endive",
            "checkout.session",
            _without("allowed_payment_method_types"),
        ),
        ("2026-09-30.endive", "invoice", _without("status_details")),
        (
            "2026-09-30.endive",
            "payment_intent",
            _without("allowed_payment_method_types", "payment_record"),
        ),
        ("2026-09-30.endive", "product", _without("tax_details")),
        (
            "2026-09-30.endive",
            "setup_intent",
            _without("allowed_payment_method_types"),
        ),
        (
            "2026-09-30.endive",
            "subscription",
            _without(
                "cancellation_details.feedback_option",
                "pending_update.cancel_at_period_end",
                "status_details",
                "trial_settings.end_behavior.billing_cycle_anchor",
            ),
        ),
        ("2026-09-30.endive", "subscription_item", _without("current_trial")),
        (
            "2026-06-24.dahlia",
            "subscription",
            _without(
                "invoice_settings.custom_fields",
                "invoice_settings.description",
                "invoice_settings.footer",
            ),
        ),
        ("2026-05-27.dahlia", "invoice", _without("amount_paid_off_stripe")),
        ("2026-05-27.dahlia", "subscription", _without("billing_schedules")),
        ("2026-05-27.dahlia", "subscription_item", _without("billed_until")),
        ("2026-04-22.dahlia", "checkout.session", _without("managed_payments")),
        ("2026-04-22.dahlia", "payment_intent", _without("managed_payments")),
        ("2026-04-22.dahlia", "setup_intent", _without("managed_payments")),
        ("2026-04-22.dahlia", "subscription", _without("managed_payments")),
        ("2026-03-25.dahlia", "checkout.session", _rename_ui_mode),
        ("2026-03-25.dahlia", "checkout.session", _without("integration_identifier")),
        ("2026-03-25.dahlia", "line_item", _without("quantity_decimal")),
        ("2026-03-25.dahlia", "subscription", _without("presentment_details")),
        ("2026-02-25.clover", "item", _without("adjustable_quantity")),
        (
            "2025-12-15.clover",
            "billing_portal.configuration",
            _without(
                "features.payment_method_update.payment_method_configuration",
                "features.subscription_update.billing_cycle_anchor",
            ),
        ),
        *(
            ("2025-12-15.clover", kind, _without("customer_account"))
            for kind in (
                "billing_portal.session",
                "checkout.session",
                "customer",
                "discount",
                "invoice",
                "payment_intent",
                "payment_method",
                "promotion_code",
                "setup_intent",
                "subscription",
            )
        ),
        ("2025-12-15.clover", "item", _without("metadata")),
        ("2025-12-15.clover", "line_item", _without("subtotal")),
        ("2025-12-15.clover", "payment_intent", _without("hooks")),
        ("2025-10-29.clover", "invoice_payment", _without("payment.payment_record")),
        ("2025-10-29.clover", "payment_intent", _without("payment_details")),
        (
            "2025-10-29.clover",
            "setup_intent",
            _without("excluded_payment_method_types"),
        ),
        (
            "2025-09-30.clover",
            "billing_portal.configuration",
            _without("features.subscription_update.trial_update_behavior"),
        ),
        (
            "2025-09-30.clover",
            "checkout.session",
            _without(
                "branding_settings",
                "collected_information.business_name",
                "collected_information.individual_name",
                "customer_details.business_name",
                "customer_details.individual_name",
                "excluded_payment_method_types",
                "name_collection",
            ),
        ),
        (
            "2025-09-30.clover",
            "customer",
            _without("business_name", "individual_name"),
        ),
        ("2025-09-30.clover", "discount", _coupon_of("source")),
        ("2025-09-30.clover", "promotion_code", _coupon_of("promotion")),
        ("2025-09-30.clover", "subscription", _without("billing_mode.flexible")),
        ("2025-08-27.basil", "billing_portal.configuration", _without("name")),
        (
            "2025-08-27.basil",
            "payment_intent",
            _without("excluded_payment_method_types"),
        ),
        ("2025-07-30.basil", "checkout.session", _without("origin_context")),
        ("2025-06-30.basil", "subscription", _without("billing_mode")),
        (
            "2025-05-28.basil",
            "checkout.session",
            _without("automatic_tax.provider", "wallet_options"),
        ),
        ("2025-05-28.basil", "invoice", _without("automatic_tax.provider")),
        ("2025-05-28.basil", "payment_method", _without("billing_details.tax_id")),
        (BASIL, "charge", _invoice_of_charge),
        (BASIL, "checkout.session", _shipping_on_session),
        (
            BASIL,
            "checkout.session",
            _without("optional_items", "permissions", "presentment_details"),
        ),
        (BASIL, "invoice", _invoice_without_parent),
        (BASIL, "invoice", _first_discount),
        (BASIL, "line_item", _line_without_parent),
        (BASIL, "payment_intent", _invoice_of_payment),
        (BASIL, "payment_intent", _without("presentment_details")),
        (BASIL, "plan", _usage_of_plan),
        (BASIL, "price", _usage_of_price),
        (BASIL, "subscription", _period_on_subscription),
        (BASIL, "subscription", _first_discount),
        (
            BASIL,
            "subscription_item",
            _without("current_period_end", "current_period_start"),
        ),
        ("2025-02-24.acacia", "checkout.session", _without("collected_information")),
        ("2025-01-27.acacia", "checkout.session", _without("discounts")),
    )
)
