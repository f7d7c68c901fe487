"""Events, the endpoints that want them, and the webhooks that bring them there."""
