"""Events, the endpoints that want them, and the webhooks that bring them there.

:class:`.World` writes an event and asks :mod:`..recipients` who wants it;
:mod:`..rendering` writes it in the form that each endpoint gets; :mod:`.delivery` sends
it.
"""
