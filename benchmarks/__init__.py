"""Measures this server beside its peers: ``python -m benchmarks.compare``; see docs/benchmarks.md."""
