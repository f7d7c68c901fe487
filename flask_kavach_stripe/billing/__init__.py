"""What an app calls: customers, Checkout, the portal, subscriptions."""
