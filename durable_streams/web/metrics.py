"""GET /metrics: the figures of a service, as Prometheus reads them. Needs ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, cast

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from durable_streams.interfaces import IMeasured
from durable_streams.measures import Measure, Timing
from durable_streams.web.problems import NO_STORE
from durable_streams.web.request import Request, Response
from durable_streams.web.streams import StreamHandlers

_PREFIX = "durable_streams_"


class StreamCollector:
    """The figures of one service, to be registered where an application keeps its own.

    ``prometheus_client.REGISTRY.register(StreamCollector(resource.handlers))``. Nothing is computed until it is asked.
    """

    def __init__(self, handlers: StreamHandlers) -> None:
        self._handlers = handlers

    def collect(self) -> Iterator[Any]:
        """What ``prometheus_client`` calls at every scrape."""
        yield self._requests()
        for measure in self._measures():
            yield _family_of(measure)

    def _requests(self) -> CounterMetricFamily:
        family = CounterMetricFamily(
            f"{_PREFIX}requests", "Requests for streams answered.", labels=("method", "status")
        )
        for (method, status), count in sorted(self._handlers.answered.items()):
            family.add_metric((method.decode("ascii"), str(status)), count)
        return family

    def _measures(self) -> Iterator[Measure | Timing]:
        service, sse = self._handlers.service, len(self._handlers.feeds)
        yield from service.activity.measures()
        yield Measure("sse_readers", "SSE connections that are open.", sse)
        yield Measure("waiters", "Long-polls and readers in this process that wait.", len(service.live_reads) - sse)
        yield Measure("healthy", "1, or 0 when /health tells of a failure.", service.failure() is None)
        if IMeasured.providedBy(service.storage):
            yield from service.storage.measures()


def _family_of(measure: Measure | Timing) -> Any:
    name = _PREFIX + measure.name
    if isinstance(measure, Timing):
        durations = measure.durations
        bounds = [*map(str, durations.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(durations.counts), strict=True))
        return HistogramMetricFamily(name, measure.meaning, buckets, durations.seconds)
    family = CounterMetricFamily if measure.is_total else GaugeMetricFamily
    return family(name, measure.meaning, measure.value)


class MetricsPage:
    """Answers a scrape with the figures of a service and of its process."""

    def __init__(self, handlers: StreamHandlers) -> None:
        self._registry = CollectorRegistry()
        # It has the shape of a Collector; to be one, it would have to inherit from a class that may be missing.
        self._registry.register(cast(Any, StreamCollector(handlers)))
        ProcessCollector(registry=self._registry)

    def answer(self, request: Request) -> Response:
        """200 in the text format, which every scraper reads."""
        body = b"" if request.method == b"HEAD" else generate_latest(self._registry)
        return Response(200, [(b"Content-Type", CONTENT_TYPE_PLAIN_0_0_4.encode("ascii")), NO_STORE], body)
