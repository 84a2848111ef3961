"""The HTTP channels to choose from: what builds connections for an application, by name and scheme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durable_streams.web.application import StreamApplication
from durable_streams.web.http11.factory import Http11Factory
from durable_streams.web.http11.negotiation import NegotiatingFactory
from durable_streams.web.stock import StockSite

ConnectionFactory = Http11Factory | NegotiatingFactory | StockSite


def lean(application: StreamApplication, scheme: str, clock: Any) -> ConnectionFactory:
    """Our own channel for HTTP/1.1; HTTP/2, which comes over https only, stays with Twisted."""
    site = StockSite(application.resource(), application.settings, clock)
    http_1 = Http11Factory(
        application.stream_handler,
        site,
        application.settings.limits,
        clock,
        application.streams.shared_headers,
    )
    return NegotiatingFactory(http_1, site, clock) if scheme == "https" else http_1


def stock(application: StreamApplication, scheme: str, clock: Any) -> ConnectionFactory:
    """Twisted's own channels, with this service's limits."""
    return StockSite(application.resource(), application.settings, clock)


CHANNELS: dict[str, Callable[[StreamApplication, str, Any], ConnectionFactory]] = {"lean": lean, "stock": stock}
