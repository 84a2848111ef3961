"""A Klein application that is called when there are new orders, and knows who is calling."""
