"""Stripe's side of the wire: no Flask, no database."""
