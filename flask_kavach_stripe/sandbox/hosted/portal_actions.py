"""The actions of a customer in a session of the portal.

Source: https://docs.stripe.com/customer-management
"""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

from ..cards import AUTHENTICATION_FAILED
from ..money.card_form import CardForm
from ..money.payment_methods import PaymentMethods
from ..object_store import Object
from ..params import read
from ..params import text
from ..recurring.customer_calls import Customers
from ..recurring.previews import Previews
from ..recurring.subscription_calls import Subscriptions
from ..resource import Params
from ..sandbox_errors import ApiError
from ..sandbox_errors import AuthenticationRequired
from ..world import World
from .portal_configurations import PortalConfigurations
from .portal_rules import Allowed
from .portal_rules import Choice
from .portal_rules import Features
from .portal_rules import PortalRules


class Preview(NamedTuple):
    """The cost of a change.

    :param due_today: In the currency's smallest unit.
    :param invoice: The invoice of the change itself if that has one, otherwise the
        one of the next renewal.
    :param is_now: It is the one of the change.
    """

    due_today: int
    invoice: Object
    is_now: bool


class PortalActions:
    """The buttons of the portal. Each asks the session's configuration first.

    Each does what a call of the API does, with the events of that. A button that does
    nothing any more, as it was pressed twice, does nothing.

    Simplified: a change that is paid at once fails if the bank asks for 3-D Secure.
    """

    def __init__(
        self,
        world: World,
        configurations: PortalConfigurations,
        rules: PortalRules,
        customers: Customers,
        payment_methods: PaymentMethods,
        subscriptions: Subscriptions,
        previews: Previews,
    ) -> None:
        self._world = world
        self._configurations = configurations
        self._rules = rules
        self._customers = customers
        self._payment_methods = payment_methods
        self._subscriptions = subscriptions
        self._previews = previews

    def features(self, session: Object) -> Features:
        """Return the features that the configuration of a session has."""
        configuration = self._configurations.get(session["configuration"])
        features: Features = configuration["features"]
        return features

    # The end, and pauses

    def cancel(self, session: Object, subscription: Object, params: Params) -> None:
        """End a subscription, now or with its period, as the configuration says.

        :param params: ``feedback`` and ``comment``, if the configuration asks why.
        :raises ApiError: If canceling is disabled (403), or a reason is not offered.
        """
        rules = self._rules.require(self.features(session), "subscription_cancel")
        details = _read_reason(rules["cancellation_reason"], params)

        if not self._allowed(session, subscription).cancel:
            return

        if rules["mode"] == "at_period_end":
            self._subscriptions.cancel_at_period_end_in_portal(subscription, details)
            return

        behavior = rules["proration_behavior"]
        call: dict[str, Any] = {
            "cancellation_details": details,
            "invoice_now": str(behavior == "always_invoice").lower(),
            "prorate": str(behavior != "none").lower(),
        }

        with self._world.on_clock_of(subscription):
            self._subscriptions.cancel(call, subscription["id"])

    def keep(self, session: Object, subscription: Object) -> None:
        """Take a scheduled end back.

        :raises ApiError: If canceling is disabled (403).
        """
        self._rules.require(self.features(session), "subscription_cancel")

        if self._allowed(session, subscription).keep:
            self._subscriptions.undo_cancel(subscription)

    def pause(self, session: Object, subscription: Object) -> None:
        """Pause a subscription; what is left of the period is given back.

        :raises ApiError: If pausing is disabled (403).
        """
        self._rules.require(self.features(session), "subscription_pause")

        if self._allowed(session, subscription).pause:
            with self._world.on_clock_of(subscription):
                self._subscriptions.pause({}, subscription["id"])

    def resume(self, session: Object, subscription: Object) -> None:
        """End a pause, of the subscription or of its payments.

        :raises ApiError: If pausing is disabled (403).
        """
        self._rules.require(self.features(session), "subscription_pause")

        if not self._allowed(session, subscription).resume:
            return

        with self._world.on_clock_of(subscription):
            if subscription["status"] == "paused":
                self._subscriptions.resume({}, subscription["id"])
            else:
                call = {"pause_collection": ""}
                self._subscriptions.update(call, subscription["id"])

    def _allowed(self, session: Object, subscription: Object) -> Allowed:
        """Return which buttons work for a subscription now."""
        return self._rules.allowed(self.features(session), subscription)

    # Price and quantity

    def ends_trial(self, session: Object, subscription: Object) -> bool:
        """Does a change end the trial?"""
        rules = self.features(session)["subscription_update"]
        return bool(
            subscription["status"] == "trialing"
            and rules["trial_update_behavior"] == "end_trial"
        )

    def preview(self, session: Object, subscription: Object, choice: Choice) -> Preview:
        """Return what a change would cost; nothing is changed."""
        values = self._change(session, subscription, choice)
        item = _item(subscription, choice)

        with self._world.on_clock_of(subscription):
            invoice = self._previews.of_change(
                subscription, {**values, "items": [item]}
            )

        is_now = invoice["billing_reason"] != "upcoming"
        return Preview(invoice["amount_due"] if is_now else 0, invoice, is_now)

    def update(self, session: Object, subscription: Object, choice: Choice) -> None:
        """Make a change of price or quantity.

        :raises ApiError: If it is to be paid now and the card is refused (402). Then
            nothing is changed.
        """
        values = self._change(session, subscription, choice)
        # Differs from Stripe: its portal lets the customer pass 3-D Secure; here a card
        # that asks for it is refused.
        values["payment_behavior"] = "error_if_incomplete"
        item = _item(subscription, choice)

        with self._world.on_clock_of(subscription):
            self._subscriptions.change_items(subscription, values, item)

    def _change(
        self, session: Object, subscription: Object, choice: Choice
    ) -> dict[str, Any]:
        """Return the parameters of a change that are about the whole subscription."""
        rules = self.features(session)["subscription_update"]
        values: dict[str, Any] = {"proration_behavior": rules["proration_behavior"]}

        if rules["billing_cycle_anchor"] is not None:
            values["billing_cycle_anchor"] = {"type": rules["billing_cycle_anchor"]}

        if self.ends_trial(session, subscription):
            values["trial_end"] = "now"

        if choice.promotion_code is not None:
            values["discounts"] = [{"promotion_code": choice.promotion_code}]

        return values

    # The customer

    def update_customer(self, session: Object, params: Params) -> None:
        """Change a customer's details: those that the configuration names.

        :raises ApiError: If others are given, or changing them is disabled (403).
        """
        rules = self._rules.require(self.features(session), "customer_update")

        if refused := params.keys() - set(rules["allowed_updates"]):
            raise ApiError(
                "These details cannot be changed in this portal:"
                f" {', '.join(sorted(refused))}.",
                status=403,
            )

        customer = self._customers.get_live(session["customer"])

        with self._world.on_clock_of(customer):
            self._customers.update(params, customer["id"])

    def change_card(self, session: Object, card: CardForm) -> None:
        """Have a new card pay everything from now on.

        :raises AuthenticationRequired: If the bank asks for 3-D Secure; then
            :meth:`authenticate` goes on.
        :raises ApiError: If the card is refused.
        """
        self._rules.require(self.features(session), "payment_method_update")
        customer = self._customers.get_live(session["customer"])

        with self._world.on_clock_of(customer):
            test_card = card.check(self._world.clock.now())

            if test_card.asks(on_session=True, set_up=False):
                self._world.hidden_of(session)["waiting"] = card
                url = f"{self._world.base_url}/authenticate/{session['id']}"
                raise AuthenticationRequired(url)

            self._use_card(customer, card)

    def waiting_card(self, session: Object) -> CardForm | None:
        """Return the card that waits for 3-D Secure."""
        card: CardForm | None = self._world.hidden_of(session)["waiting"]
        return card

    def authenticate(self, session: Object, *, approved: bool) -> None:
        """Go on with a card that waits for 3-D Secure.

        :param approved: The customer passed it.
        :raises ApiError: If not, or if no card waits.
        """
        self._rules.require(self.features(session), "payment_method_update")
        customer = self._customers.get_live(session["customer"])
        card = self.waiting_card(session)
        self._world.hidden_of(session)["waiting"] = None

        if card is None:
            raise ApiError("No card waits for 3-D Secure.")

        if not approved:
            raise AUTHENTICATION_FAILED.to_error()

        with self._world.on_clock_of(customer):
            self._use_card(customer, card, set_up=True)

    def _use_card(
        self, customer: Object, card: CardForm, *, set_up: bool = False
    ) -> None:
        """Attach a card, and let it pay for the customer and all subscriptions."""
        card_id = self._payment_methods.add(card, customer, set_up=set_up)["id"]
        call = {"invoice_settings": {"default_payment_method": card_id}}
        self._customers.update(call, customer["id"])

        # One with a card of its own would go on with the old one.
        for subscription in self._subscriptions.of_customer(customer["id"]):
            if subscription["default_payment_method"]:
                self._subscriptions.update(
                    {"default_payment_method": card_id}, subscription["id"]
                )


def _item(subscription: Object, choice: Choice) -> dict[str, Any]:
    """Return the parameters of a change that are about the item."""
    return {
        "id": subscription["items"]["data"][0]["id"],
        "price": choice.price["id"],
        "quantity": choice.quantity,
    }


def _read_reason(rules: Object, params: Params) -> dict[str, Any]:
    """Return why a customer cancels.

    :raises ApiError: If the portal does not ask, or not for this.
    """
    given = {name: value for name, value in params.items() if value}
    reason = read(given, {"comment": text(500), "feedback": text()})

    if not reason:
        return {}

    if not rules["enabled"]:
        raise ApiError("This portal does not ask for reasons.", status=403)

    if reason.get("feedback") not in (None, *rules["options"]):
        raise ApiError("This reason is not offered.", param="feedback")

    return reason
