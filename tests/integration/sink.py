"""A collector of OpenTelemetry and of OpenLineage on this machine, which keeps what Airflow sends."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from comparison.receiver import serving

METRICS, TRACES, LINEAGE = "/v1/metrics", "/v1/traces", "/api/v1/lineage"


@dataclass(frozen=True)
class Point:
    """A value of a metric, as one process sent it."""

    metric: str
    kind: str  # of OTLP's: sum, gauge, exponential_histogram
    tags: dict[str, str]
    value: float
    is_delta: bool


@dataclass(frozen=True)
class Span:
    """A span of a trace."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    tags: dict[str, str]


@dataclass
class Sink:
    """What has arrived, oldest first."""

    url: str = ""
    points: list[Point] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def take(self, path: str, body: bytes) -> None:
        """Keep the body of a request; one that its format does not allow is an error."""
        if path == LINEAGE:
            self.events.append(json.loads(body))
        elif path == METRICS:
            self.points.extend(_points(body))
        else:
            assert path == TRACES, path
            self.spans.extend(_spans(body))

    def total(self, metric: str, **tags: str) -> float:
        """Return the sum of a counter's increments with these tags, among others."""
        found = [point for point in self.points if point.metric == metric and point.tags.items() >= tags.items()]
        assert all(point.kind == "sum" and point.is_delta for point in found)
        return sum(point.value for point in found)


@contextmanager
def collecting() -> Iterator[Sink]:
    """Run the collector on a free port."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.take(self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Handler) as url:
        sink.url = url
        yield sink


def _points(body: bytes) -> Iterator[Point]:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA

    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            data = getattr(metric, kind)
            is_delta = kind != "gauge" and data.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
            for point in data.data_points:
                value = point.sum if "histogram" in kind else getattr(point, point.WhichOneof("value"))
                yield Point(metric.name, kind, _tags(point.attributes), value, is_delta)


def _spans(body: bytes) -> Iterator[Span]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            yield Span(span.trace_id, span.span_id, span.parent_span_id, span.name, _tags(span.attributes))


def _tags(attributes: Any) -> dict[str, str]:
    return {each.key: str(getattr(each.value, each.value.WhichOneof("value"))) for each in attributes}
