"""Random specs with large things in them, up to 64 KiB, and the processor time that each takes
until it could run, or is refused."""

from __future__ import annotations

import json
from time import thread_time
from typing import Any

import gevent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.scheme.registry import Scheme
from tests.grown import GROWN, MOST_BYTES, large, size, whole_way
from tests.scheme.test_schema import complete, places

SCHEME = Scheme.installed()

SECONDS_A_BYTE = 50e-6
SECONDS = 5.0
FLOOR_BYTES = 1_000  # what every spec takes, however small
EXAMPLES = 3_000


@st.composite
def grown(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A complete spec of a kind in which one to three things are large."""
    if draw(st.integers(0, 9)) == 0:
        return GROWN[draw(st.sampled_from(sorted(GROWN)))](draw(st.integers(1, 700)))
    spec = complete(draw(st.sampled_from(SCHEME.kinds())), SCHEME)
    spec = json.loads(json.dumps(spec))
    if draw(st.booleans()):
        spec["env"] = {"A": {"data": "1"}}
    count = draw(st.integers(1, 3))
    for _ in range(count):
        container, key = draw(st.sampled_from(list(places(spec))))
        container[key] = draw(large(container[key], MOST_BYTES // (2 * count)))
    return [spec]


def test_what_a_spec_takes_is_bounded_by_its_size() -> None:
    # In a thread without a hub, where nothing is done beside: all of the time is this thread's.
    worst: list[tuple[float, float, int, str, str]] = gevent.get_hub().threadpool.apply(measure)
    for seconds, a_byte, length, told, text in sorted(worst, reverse=True)[:5]:
        print(f"{seconds:.3f} s, {a_byte * 1e6:.1f} us a byte of {length}: {text!r}: {told!r}")


def measure() -> list[tuple[float, float, int, str, str]]:
    each = [complete(kind, SCHEME) for kind in SCHEME.kinds()]
    for specs in (each, *(made(1) for made in GROWN.values())):
        whole_way(json.dumps(specs), SCHEME)  # imports
    worst: list[tuple[float, float, int, str, str]] = []

    @settings(
        deadline=None,
        max_examples=EXAMPLES,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(grown(), st.booleans())
    def take(specs: list[dict[str, Any]], is_ascii: bool) -> None:
        length = size(specs)
        if length > MOST_BYTES:
            return
        text = json.dumps(specs, ensure_ascii=is_ascii)
        begin = thread_time()
        told = whole_way(text, SCHEME)
        seconds = thread_time() - begin
        a_byte = seconds / max(length, FLOOR_BYTES)
        worst.append((seconds, a_byte, length, told[:80], text[:80]))
        assert a_byte <= SECONDS_A_BYTE, f"{seconds} s of {length} bytes: {text[:200]!r}"
        assert seconds <= SECONDS

    take()
    print(
        f"{len(worst)} specs, at most {max(a_byte for _, a_byte, *_ in worst) * 1e6:.1f} us a byte"
    )
    return worst
