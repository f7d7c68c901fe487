"""Stripe's side of the wire: call the API, check a webhook, read Stripe's objects.

Nothing in this folder imports Flask or SQLAlchemy. A webhook passes through
``signatures``, ``event`` and ``objects``; a call to Stripe through ``encoding`` and
``client``.
"""
