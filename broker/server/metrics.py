"""Counters for Prometheus, in a registry of their own so that several servers may live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300)


class Metrics:
    """What the server counts."""

    def __init__(self) -> None:
        """Make the counters."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "broker_http_requests_total", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "broker_http_request_seconds",
            "Time to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.open_requests = Gauge("broker_http_requests_open", "Requests being answered.", registry=self.registry)
        self.refused = Counter(
            "broker_refused_total", "Requests refused at the gate.", ("why",), registry=self.registry
        )
        self.tokens = Counter("broker_chat_tokens_total", "Tokens read and written.", ("kind",), registry=self.registry)
        self.chats_open = Gauge("broker_chats_open", "Chat requests in work or waiting.", registry=self.registry)
        self.jobs = Gauge("broker_jobs", "Fine-tuning jobs by status.", ("status",), registry=self.registry)
        self.batches = Gauge("broker_batches_open", "Batches being worked on.", registry=self.registry)
        self.received = Counter("broker_received_bytes_total", "Bytes of files received.", registry=self.registry)

    def text(self) -> bytes:
        """Return all counters in Prometheus' text form."""
        return generate_latest(self.registry)
