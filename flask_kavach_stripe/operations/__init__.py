"""The work behind the ``flask stripe`` commands, one file for each command.

A command in ``cli`` parses its arguments, calls the module of the same name here, and
prints what it yields. Nothing here prints, or knows of a terminal. Most functions yield
their outcomes one by one, so that a command shows its progress, and can be interrupted.
"""
