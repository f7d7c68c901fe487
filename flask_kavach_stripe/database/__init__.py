"""What we keep: columns of the app's user model, and two tables of our own.

``models`` defines the columns, ``payers``, ``rows`` and ``ledger`` read and write one
table each. They run in the transaction that the caller has begun: none of them commits,
and none calls Stripe. ``transactions`` has the functions that begin and end one.
"""
