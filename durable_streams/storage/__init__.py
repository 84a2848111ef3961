"""Where streams are kept: providers of ``durable_streams.interfaces.IStorage``."""
