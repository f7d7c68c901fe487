"""``flask stripe``: look after the billing of an app from a terminal."""
