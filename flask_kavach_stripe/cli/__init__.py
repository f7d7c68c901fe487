"""``flask stripe``: look after the billing of an app from a terminal.

A module here parses the arguments of a command, calls the module of the same name in
``operations``, and prints. ``events`` and ``worker`` print what ``events/retry.py``
does. The docstring of a command is its ``--help``.
"""
