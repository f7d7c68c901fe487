"""Subscriptions and the customers who have them: how they start, renew, change and end.

:mod:`.subscription_calls` and :mod:`.customer_calls` answer the API.
:mod:`.starting`, :mod:`.changes` and :mod:`.transitions` do what a call asks for, and
:mod:`.steps` what happens by itself as time passes.
"""
