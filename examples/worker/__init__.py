"""Workers that share the orders of a shop: each order is packed by one of them, also when some crash."""
