"""The way of an event, from the webhook's bytes to the app's handlers.

One verb a file, in the order in which an event passes them:

``receive``
    Verify the signature, parse the payload, and call the steps below.
``effects``
    What each of Stripe's event types means for our rows.
``thin``
    Read the object of a thin event from Stripe.
``ask``
    Read a subscription, with all its items, from Stripe.
``link``
    Link a customer to the user who bought in a Checkout session.
``store``
    First transaction: the ledger, the subscriptions' rows, the user's columns.
``run``
    Second transaction: the app's handlers, exactly once; or the app's queue instead.
``store_for_helper``
    Both transactions for a change that a helper read from Stripe.
``retry``
    Run the pending or failed handlers of stored events.
"""
