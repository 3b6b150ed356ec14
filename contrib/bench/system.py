"""contrib/examples/system.yaml on `memory://`: reads of 100 nodes, creation of one."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from contrib.bench.tools import HERE, ping, wrk

SECONDS = 6
ROUNDS = 3  # the best of so many: what the machine can do when nobody else uses it
NODES = 100  # of which nine are the workflow's own

# wrk has no other way to send a body; each request has a name of its own.
POST = """
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  n = n + 1
  local body = '{"kind":"snippet","code":"x","name":"n' .. n .. '-%d"}'
  return wrk.format(nil, nil, nil, body)
end
"""


def measure(folder: Path) -> dict[str, Any]:
    text = (HERE.parent / "examples" / "system.yaml").read_text()
    escaped = text.replace("{", "{{").replace("}", "}}").replace("port: 8000", "port: {port}")
    with ping(folder, text=escaped) as (_, port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        specs = [{"kind": "snippet", "name": f"s{i}", "code": "x"} for i in range(NODES - 9)]
        connection.request(
            "POST", "/v1/nodes", json.dumps(specs), {"Content-Type": "application/json"}
        )
        if connection.getresponse().status != 200:
            raise RuntimeError("the specs could not be created")
        connection.close()
        wrk(port, 1, path="/v1/nodes")
        reads = [wrk(port, SECONDS, path="/v1/nodes") for _ in range(ROUNDS)]
        writes = []
        for number in range(ROUNDS):
            script = folder / "post.lua"
            script.write_text(POST % number)
            writes.append(wrk(port, SECONDS, path="/v1/nodes", script=script))
    best = [max(runs, key=lambda run: run["requests_per_second"]) for runs in (reads, writes)]
    return {"get_100_nodes": best[0], "post_one_spec": best[1]}
