"""The way of an event, from the webhook's bytes to the app's handlers."""
