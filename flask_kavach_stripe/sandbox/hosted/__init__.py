"""Stripe's hosted pages as data: Checkout sessions and the customer portal.

These modules decide what a person may do on a page and what follows from it. The HTML
is in :mod:`..pages`.
"""
