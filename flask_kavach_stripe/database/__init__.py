"""What we keep: columns of the app's user model, and two tables of our own.

``models`` defines the columns, ``payers``, ``rows`` and ``ledger`` read and write one
table each. They run in the transaction that the caller has begun. None of them commits,
apart from :func:`.transactions.commit_open`, and none calls Stripe.
"""
