"""`MetricsCollector`: what the log adds up to and what is going on now, as plain data or in Prometheus's text format.

Owns keeping the sums up to date with the log, and how families are written. What counts is `projections/metrics.py`'s,
the names of metrics are `projections/metric_families.py`'s. Works while a bus runs and when none does; changes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .eventstore.forgotten import DONE as FORGOTTEN
from .eventstore.presence import is_there
from .eventstore.reader import LogReader
from .monitoring_errors import MetricsFormatUnknown
from .observing import Place, observe
from .projections.folding import Fold, pages
from .projections.live_families import live_families
from .projections.metric_documents import agent_document, orchestration_document
from .projections.metric_families import Family, LogSums, log_families, log_sums, telemetry_families
from .projections.metrics import Metrics
from .projections.stored import StoredRows
from .settings import load_settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

FORMATS = ("prometheus", "openmetrics")


class MetricsCollector:
    """Collects the metrics of a home: the one that the command line would use, unless `home` says otherwise.

    Every call looks anew: at the bus (which need not run), at the processes of an `up`, at the log's file. What the
    log adds up to is kept between calls, so that each reads only what is new; the first begins where the projector has
    come to. May be used from any thread.
    """

    def __init__(self, home: str | os.PathLike[str] | None = None) -> None:
        settings = load_settings()
        self._place = Place(settings.home if home is None else Path(home).absolute(), settings.runtime_dir)
        self._lock = threading.Lock()
        self._fold = Fold(Metrics())
        self._position = 0
        self._last_hash = b""

    def collect_agent_metrics(self) -> dict[str, Any]:
        """Return `agents` (sums by queue: tasks, retries, outcomes, times, tokens, cost), `instances` (the processes
        that live now) and `totals`; see docs/monitoring.md. Raises what reading the log raises, but for a missing log.
        """
        return agent_document(self._sums(), observe(self._place, memory=True))

    def collect_orchestration_metrics(self) -> dict[str, Any]:
        """Return events, runs, tasks, deliveries, queues, processes, models, parked and waiting work, projections, bus
        and log; see docs/monitoring.md. Raises as `collect_agent_metrics`.
        """
        return orchestration_document(self._sums(), observe(self._place))

    def export_metrics(self, format: str = "prometheus") -> str:
        """Return all metrics as text in a format: `prometheus`, or `openmetrics`. Raises MetricsFormatUnknown."""
        if format not in FORMATS:
            raise MetricsFormatUnknown(format, FORMATS)
        from prometheus_client import exposition
        from prometheus_client.openmetrics import exposition as openmetrics

        write = openmetrics.generate_latest if format == "openmetrics" else exposition.generate_latest
        return str(write(self.registry()).decode())

    def unread(self) -> int:
        """Return how many events of the log the next of these calls has to read first: all of a log that no projector
        has folded. Some 100,000 take a second.
        """
        with self._lock, self._own_log() as log:
            if log is None:
                return 0
            if not self._position:
                self._take_over(log)
            return max(0, log.head - self._position)

    def families(self) -> list[Family]:
        """Return all metrics as plain data."""
        sums, seen = self._sums(), observe(self._place, memory=True)
        return [*log_families(sums), *telemetry_families(sums, seen), *live_families(seen)]

    def registry(self) -> CollectorRegistry:
        """Return a registry of `prometheus_client` that collects anew at each scrape, for a program that serves it."""
        from prometheus_client import CollectorRegistry

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self))
        return registry

    def _sums(self) -> LogSums:
        """Fold what is new in the log."""
        with self._lock, self._own_log() as log:
            if log is None:
                self._begin()
            else:
                self._catch_up(log)
            return log_sums(dict(self._fold.rows()))

    @contextmanager
    def _own_log(self) -> Iterator[LogReader | None]:
        path = self._place.home / "log.db"
        if not is_there(path):
            yield None
        else:
            with LogReader(path) as log:
                yield log

    def _begin(self) -> None:
        self._fold, self._position, self._last_hash = Fold(Metrics()), 0, b""

    def _catch_up(self, log: LogReader) -> None:
        if self._position and not self._goes_on(log):
            self._begin()
        if not self._position:
            self._take_over(log)
        goes_on, forgot = self._last_hash != b"", False
        for page in pages(log, self._position, None):
            forgot |= goes_on and any(event.type == FORGOTTEN for event in page)
            self._fold.take(page)
            self._position, self._last_hash = page[-1].position, page[-1].hash
        if forgot:
            # What payloads said that were freed meanwhile counts no more, as for a collector that begins now.
            self._begin()
            self._catch_up(log)

    def _take_over(self, log: LogReader) -> None:
        """Begin where the projector has come to."""
        start = StoredRows(self._place.home).nearest(self._fold.projection, log, log.head)
        if start is not None:
            self._fold.states.update(start.rows)
            self._position = start.position

    def _goes_on(self, log: LogReader) -> bool:
        """Tell whether the log is still the one that was read: another may have been put in its place."""
        found = log.read(after=self._position - 1, limit=1)
        return bool(found) and (not self._last_hash or found[0].hash == self._last_hash)


class _Collector:
    """What `prometheus_client` asks for metrics at each scrape."""

    def __init__(self, collector: MetricsCollector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        for family in self._collector.families():
            if family.samples:
                yield _written(family)


def _written(family: Family) -> Metric:
    """Return a family as `prometheus_client` has it."""
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        SummaryMetricFamily,
    )

    name, labels = family.name, family.labels
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(name, family.help, labels=labels)
        for values, one in family.samples:
            buckets = [(repr(float(bound)), count) for bound, count in one.bounds]
            histogram.add_metric(values, [*buckets, ("+Inf", one.count)], one.sum)
        return histogram
    if family.kind == "summary":
        summary = SummaryMetricFamily(name, family.help, labels=labels)
        for values, (count, total) in family.samples:
            summary.add_metric(values, count, total)
        return summary
    single: CounterMetricFamily | GaugeMetricFamily = (
        CounterMetricFamily(name, family.help, labels=labels)
        if family.kind == "counter"
        else GaugeMetricFamily(name, family.help, labels=labels)
    )
    for values, value in family.samples:
        single.add_metric(values, value)
    return single
