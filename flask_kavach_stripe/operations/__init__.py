"""The work behind the ``flask stripe`` commands."""
