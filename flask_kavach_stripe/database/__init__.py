"""The three tables: users, subscriptions, events. Nothing here commits."""
