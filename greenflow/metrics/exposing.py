"""The metrics of a runtime as text, and for a registry of prometheus-client.

Lives here: Exposition. The text is the library's, made of some series at a time: the hub is held
for a millisecond or two, however many there are. A client that reads slowly holds up nobody else,
for the values are taken before the first piece is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from gevent.lock import RLock

from greenflow.histogram import Histogram
from greenflow.hub import blocking
from greenflow.hub.breathing import unhurried
from greenflow.metrics.collecting import Parts, collect
from greenflow.metrics.declaring import NAMESPACE, Labels, Metric, Samples, Value
from greenflow.metrics.limiting import SeriesLimits

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

#: Prometheus' text format, which every version of it reads.
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Series that are written in one go: about a millisecond.
PIECE = 200


class Exposition:
    """What one runtime counts, to be read again and again; on its hub, in a greenlet."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._limits = parts, SeriesLimits(parts.services.namespace)
        self._lock, self._has_library = RLock(), False

    def pieces(self) -> tuple[str, Iterable[bytes]]:
        """The media type, and the text in pieces."""
        return MEDIA_TYPE, unhurried(_text(self.samples()))

    def families(self) -> Iterator[Family]:
        """For a registry of prometheus-client: each metric with its samples."""
        for metric, samples in unhurried(self.samples().items()):
            yield _family(metric, samples.items())
        yield from _of_operating_system()

    def samples(self) -> dict[Metric, Samples]:
        """The samples of each metric, now."""
        with self._lock:
            if not self._has_library:  # it takes a tenth of a second, in which requests go on
                blocking.call(import_module, "prometheus_client")
                self._has_library = True
            found = collect(self._parts)
            return {
                metric: self._limits.limit(metric, samples)
                for metric, samples in unhurried(found.items())
            }


class _Once:
    """A registry of one metric, as the library's encoder takes it."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        return (self._family,)


def _text(found: dict[Metric, Samples]) -> Iterator[bytes]:
    for metric, samples in found.items():
        rest, is_first = iter(samples.items()), True
        while some := list(islice(rest, max(1, PIECE // metric.series))):
            text = _encoded(_family(metric, some))
            yield text if is_first else text.split(b"\n", 2)[2]  # less HELP and TYPE
            is_first = False
    for family in _of_operating_system():
        yield _encoded(family)


def _encoded(family: Family) -> bytes:
    from prometheus_client.exposition import generate_latest

    return generate_latest(_Once(family))


def _family(metric: Metric, samples: Iterable[tuple[Labels, Value]]) -> Family:
    from prometheus_client.core import Metric as Family

    name = metric.name.removesuffix("_total")
    family = Family(name, metric.help, metric.type)
    names = (NAMESPACE, *metric.labels)
    for values, value in samples:
        labels = dict(zip(names, values, strict=True))
        if not isinstance(value, Histogram):
            family.add_sample(metric.name, labels, value)
            continue
        if metric.type == "histogram":
            for bound, count in value.buckets():
                text = "+Inf" if bound == float("inf") else repr(bound)
                family.add_sample(f"{name}_bucket", {**labels, "le": text}, count)
        family.add_sample(f"{name}_count", labels, value.count)
        family.add_sample(f"{name}_sum", labels, value.seconds)
    return family


def _of_operating_system() -> Iterator[Any]:
    """Memory, processor time and open files of the OS process, under the names that every client
    library of Prometheus gives them."""
    from prometheus_client import ProcessCollector

    yield from ProcessCollector(registry=None).collect()
