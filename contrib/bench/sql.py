"""contrib/examples/users on an SQLite file in WAL mode with synchronous=NORMAL: 90 % reads.

The server is one OS process on core 0, wrk with 64 connections is on core 1. One request in ten
creates or changes a user and so commits; the others read one of them. Beside it the same with reads
alone, and the ping workflow, for the ratio: the machine is shared.
"""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from typing import Any

from contrib.bench.tools import HERE, ping, wrk

SECONDS = 5
ROUNDS = 3  # the best of so many: what the machine can do when nobody else uses it
USERS = 1000

MIX = """
local n, round = 0, "%d"
local json = {["Content-Type"] = "application/json"}
math.randomseed(round + 1)
request = function()
  n = n + 1
  local id = math.random(%d)
  if n %% 10 ~= 0 then
    return wrk.format("GET", "/users/" .. id)
  end
  local body = '{"name": "User", "email": "u' .. round .. '-' .. n .. '@example.org"}'
  if n %% 20 == 0 then
    return wrk.format("POST", "/users", json, body)
  end
  return wrk.format("PUT", "/users/" .. id, json, body)
end
"""


def measure(folder: Path) -> dict[str, Any]:
    before = os.getcwd()
    os.chdir(folder)  # where the database is
    try:
        with ping(folder) as (_, port, _):
            wrk(port, 1)
            pong = best([wrk(port, SECONDS) for _ in range(ROUNDS)])
        return {"ping": pong, **_users(folder)}
    finally:
        os.chdir(before)


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    return max(runs, key=lambda run: run["requests_per_second"])


def _users(folder: Path) -> dict[str, Any]:
    text = (HERE.parent / "examples" / "users" / "users.yaml").read_text()
    escaped = text.replace("{", "{{").replace("}", "}}").replace("port: 8000", "port: {port}")
    with ping(folder, text=escaped) as (_, port, _):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number in range(USERS):
            body = json.dumps({"name": "User", "email": f"{number}@example.org"})
            connection.request("POST", "/users", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 201:
                raise RuntimeError(f"no user was made: {response.read()!r}")
            response.read()
        connection.close()
        mixes = []
        for number in range(ROUNDS):
            script = folder / "mix.lua"
            script.write_text(MIX % (number, USERS))
            mixes.append(wrk(port, SECONDS, script=script))
        reads = [wrk(port, SECONDS, path="/users/7") for _ in range(ROUNDS)]
    return {"reads_90_percent": best(mixes), "reads_only": best(reads)}
