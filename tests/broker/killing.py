"""Runtimes that are killed while messages flow: what was processed, how often, and what died.

Lives here: `kill_runtimes`, for the quick test and the one that takes long.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import gevent

from greenflow.config import BrokerSettings
from tests import brokers, programs
from tests.broker.test_remote import DEAD, PUBLISH
from tests.flows import flow
from tests.waiting import PAUSE, until

SECONDS = 300.0  # until what should have been processed has failed
PREFETCH = 10
DELIVERIES = 3
RUNTIMES = 2
POISON_EVERY = 20  # one message in so many fails always
LATEST_KILL = 0.4  # seconds after something was processed, at most

# A message takes 30 ms, so that all of `prefetch` are under way at nearly every moment.
WORK = """
import os, time

def work(number):
    if number % POISON == 0:
        raise ValueError("poison")
    time.sleep(0.03)
    file = os.open("done", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d\\n" % number)
    os.close(file)
""".replace("POISON", str(POISON_EVERY))

RECEIVE = """
- {kind: trigger, name: first, topic: orders, links: {out: {name: work}}}
- {kind: python, name: work, call: "work:work"}
"""


class Outcome(NamedTuple):
    """How often each message was processed; what was a dead letter; which were what."""

    processed: Counter[int]
    letters: Counter[int]
    good: set[int]
    poison: set[int]

    @property
    def duplicates(self) -> int:
        return self.processed.total() - len(self.processed)


def kill_runtimes(
    server: brokers.Place,
    folder: Path,
    kills: int,
    messages: int,
    visibility: float,
) -> Outcome:
    """Let messages flow through runtimes, of which one is killed now and then; wait for the end."""
    chance = random.Random(7)
    (folder / "flow.yaml").write_text(RECEIVE)
    (folder / "work.py").write_text(WORK)
    done = folder / "done"
    done.touch()
    namespace = brokers.namespace()
    environment = {
        **os.environ,
        "GREENFLOW_NAMESPACE": namespace,
        "GREENFLOW_BROKER_URL": server.url,
        "GREENFLOW_BROKER_PREFETCH": str(PREFETCH),
        "GREENFLOW_BROKER_VISIBILITY": f"{visibility:g}s",
        "GREENFLOW_BROKER_BACKOFF": "50ms",
        "GREENFLOW_BROKER_DELIVERIES": str(DELIVERIES),
    }

    def runtime() -> programs.Process:
        log = open(folder / "log", "ab")  # noqa: SIM115 - the child's
        with log:
            return programs.Process(
                ("run", "flow.yaml"),
                cwd=folder,
                env=environment,
                stderr=log,
            )

    def processed() -> Counter[int]:
        return Counter(map(int, done.read_text().split()))

    numbers = list(range(messages))
    good = {number for number in numbers if number % POISON_EVERY}
    poison = set(numbers) - good
    broker = BrokerSettings(url=server.url)
    # There before any message: a topic that nobody ever subscribed to keeps none.
    quiet = RECEIVE.replace("python, name: work", "snippet, name: work, language: text").replace(
        'call: "work:work"', "code: x"
    )
    with flow(quiet, namespace=namespace, broker=broker):
        pass
    runtimes = [runtime() for _ in range(RUNTIMES)]
    try:
        with flow(PUBLISH + DEAD, namespace=namespace, broker=broker) as running:

            def letters() -> Counter[int]:
                return Counter(each["payload"] for each in running.probes.of("letters"))

            for part in range(kills + 1):
                chunk = numbers[part :: kills + 1]
                calls = [gevent.spawn(running.call, "publish", number) for number in chunk]
                gevent.joinall(calls, raise_error=True)
                if part < kills:
                    before = processed().total()
                    until(lambda before=before: processed().total() > before)
                    gevent.sleep(chance.uniform(0, LATEST_KILL))
                    victim = chance.randrange(RUNTIMES)
                    runtimes[victim].kill()
                    runtimes[victim].wait()
                    runtimes[victim] = runtime()
            with gevent.Timeout(SECONDS):
                while not processed().keys() | letters().keys() >= good | poison:
                    gevent.sleep(PAUSE)
            found = letters()
    finally:
        for each in runtimes:
            each.terminate()
        codes = [each.wait(60) for each in runtimes]
    assert codes == [0] * RUNTIMES
    return Outcome(processed(), found, good, poison)


def check(outcome: Outcome, kills: int) -> None:
    """At least once, and more often only what was in hand of a runtime that was killed."""
    assert outcome.processed.keys() == outcome.good
    assert outcome.duplicates <= kills * PREFETCH
    assert outcome.letters.keys() == outcome.poison
    print(
        json.dumps(
            {
                "messages": outcome.processed.total() + outcome.letters.total(),
                "processed": len(outcome.processed),
                "duplicates": outcome.duplicates,
                "at most": kills * PREFETCH,
                "dead letters": outcome.letters.total(),
                "poison": len(outcome.poison),
            }
        )
    )
