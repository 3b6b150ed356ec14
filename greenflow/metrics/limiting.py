"""How many series there are of one metric: a bound, and one series for all beyond it.

Lives here: SeriesLimits. A server of Prometheus keeps each series for weeks, and a namespace may
have 100,000 nodes. Who was there first has a series of its own for as long as it is there, so that
no series begins and ends by chance; what comes when there is no room is added up under the labels
OTHER. A counter of those never goes down: what a node that ended had counted stays in it.
"""

from __future__ import annotations

from greenflow.hub.breathing import unhurried
from greenflow.metrics.collecting import added
from greenflow.metrics.declaring import Labels, Metric, Samples, Value

#: Series of one metric, at most.
MOST = 2000

#: The value of each label of the series of all the others.
OTHER = "other"


class _Kept:
    """Who has a series of its own of one metric, and what the others had when they were seen."""

    def __init__(self) -> None:
        self.own: dict[Labels, None] = {}
        self.others: dict[Labels, Value] = {}
        self.ended: Value | None = None  # what those of them had that are gone


class SeriesLimits:
    """Of one runtime: it has to know who was there before."""

    def __init__(self, namespace: str, most: int = MOST) -> None:
        self._namespace, self._most = namespace, most
        self._kept: dict[Metric, _Kept] = {}

    def limit(self, metric: Metric, samples: Samples) -> Samples:
        """The samples, of which so many have a series of their own. Lets others run."""
        kept = self._kept.setdefault(metric, _Kept())
        room = max(1, self._most // metric.series - 1)
        kept.own = {labels: None for labels in unhurried(kept.own) if labels in samples}
        others: Samples = {}
        for labels, value in unhurried(samples.items()):
            if labels not in kept.own:
                if labels in kept.others or len(kept.own) >= room:
                    others[labels] = value
                else:
                    kept.own[labels] = None
        if metric.type != "gauge":
            for labels, value in unhurried(kept.others.items()):
                if labels not in others:
                    kept.ended = value if kept.ended is None else added(kept.ended, value)
        kept.others = others
        total = kept.ended
        for value in unhurried(others.values()):
            total = value if total is None else added(total, value)
        if total is None:
            return samples
        limited = {labels: samples[labels] for labels in kept.own}
        limited[(self._namespace, *(OTHER for _ in metric.labels))] = total
        return limited
