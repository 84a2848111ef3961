"""Fixtures of the HTTP side."""

from tests.web.desk import desk

__all__ = ["desk"]
