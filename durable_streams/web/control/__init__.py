"""The reserved control paths below ``__ds``: subscriptions and signing keys (Section 6)."""
