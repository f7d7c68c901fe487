"""Goods and money: catalogue, discounts, cards, invoices, payments.

Each kind of object of Stripe's API is a :class:`~..resource.Resource`. A method that
the API reaches takes the decoded parameters (and ids from the path) and returns an
object; a method that only the sandbox's other modules call takes plain arguments.

Nothing here knows that subscriptions renew: an invoice is finalised, charged, marked
paid or void when a caller says so.
"""
