"""kill -9 of a writer at any moment: a batch of 500 documents is wholly old or wholly new."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from greenflow.store import open_store
from tests.store.tools import python, spec

KILLS = 10  # tests/soak has more
SPECS = 500

# Seconds after a report at which the writer is killed, at most: a batch takes about 30 ms, so most
# of the kills are inside of one.
LATEST_KILL = 0.04

WRITER = f"""
import itertools, sys
from greenflow.store import open_store
with open_store(sys.argv[1]) as store:
    for generation in itertools.count(int(sys.argv[2])):
        store.specs.apply([
            {{"id": f"id {{at}}", "namespace": "default", "name": f"name {{at}}",
              "generation": generation}}
            for at in range({SPECS})
        ])
        print(generation, flush=True)
"""


def test_a_batch_is_wholly_old_or_wholly_new(tmp_path: Path) -> None:
    kill(f"sqlite:///{tmp_path}/store.db", random.Random(7), KILLS)


def kill(
    url: str,
    moments: random.Random,
    times: int,
    latest: float = LATEST_KILL,
    killed: Callable[[str], None] = lambda url: None,
) -> None:
    """Kill a writer so many times, at most so long after a report, and look at what it left.
    `killed` is told the URL each time."""
    generation = 0
    for _ in range(times):
        with python(WRITER, url, str(generation + 1)) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            assert first, "the writer did not get to its first report"
            time.sleep(moments.uniform(0, latest))
            writer.kill()
            reported = int((first + writer.stdout.read()).split()[-1])
            assert writer.wait() == -9
        killed(url)
        with open_store(url) as store:
            found = store.specs.find(None)
            assert len(found) == SPECS
            (generation,) = {record.document["generation"] for record in found}
            # what was reported is there; at most one batch was written and not yet reported
            assert reported <= generation <= reported + 1
            assert len({record.revision for record in found}) == SPECS
            # the change and its documents are there together
            assert store.history.newest("default") == generation
            edits = store.history.edits("default", generation - 1)
            texts = {json.loads(edit.after or "")["generation"] for edit in edits}
            assert (len(edits), texts) == (SPECS, {generation})
            assert store.specs.revisions(None) == {r.document["id"]: r.revision for r in found}


def test_the_next_apply_converges(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with python(WRITER, url, "1") as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        writer.kill()
    wanted = [spec(f"id {at}", f"name {at}", generation=0) for at in range(SPECS)]
    with open_store(url) as store, store.specs.feed(None) as feed:
        applied = store.specs.apply(wanted)
        assert [record.document for record in applied] == wanted
        batch = feed.next(30)
        assert batch == ({document["id"] for document in wanted}, False)
        assert store.specs.apply(wanted) == applied
