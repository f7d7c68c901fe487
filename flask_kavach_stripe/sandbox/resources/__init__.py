"""Stripe's resources, one small class each.

A method that the API reaches takes the decoded parameters (and ids from the path) and
returns an object; what only other resources call takes plain arguments.
"""
