"""Subscriptions: durable cursors that wake workers, by webhook or by a wake stream (Sections 6 and 7)."""
