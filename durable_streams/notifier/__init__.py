"""How those who follow a stream are told: providers of ``durable_streams.interfaces.INotifier``."""
