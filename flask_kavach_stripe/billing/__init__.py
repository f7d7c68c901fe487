"""What an app calls: customers, Checkout, the billing portal, subscriptions.

The public functions are *helpers*: methods of ``KavachStripe`` that need an app
context. They take a user as a model instance, as ``current_user`` or as a primary key.

Helpers work in ``db.session``. They flush it first, commit it before a call to Stripe,
so that no lock is held during the call, and commit again after storing. Within a
handler the extension owns the transaction, and each of these commits is only a flush.

``users``
    Find the user that a helper was given, and the user's row.
``stored_subscriptions``
    Read subscriptions from our database.
``presence``
    Ask Stripe whether a customer exists, and record its deletion.
``refresh``
    Read a customer's subscriptions from Stripe, and store them.
``relink``
    Find the customer that a user had, and link the two again.
``customers``
    Create a customer at Stripe, or find the one that the user had.
``named_prices``
    Find the entry of ``STRIPE_PRICES`` that the app's code names.
``selling``
    Ask Stripe before a plan is sold, and keep one page open.
``checkout``, ``portal``
    Sessions at Stripe: pages to which the app sends the browser.
``success``
    Store what was bought, when the browser comes back.
``offers``
    The rules for browsers: which price, how many, which trial.
``protection``
    Keep an app from deleting a user whom Stripe would go on charging.
"""
