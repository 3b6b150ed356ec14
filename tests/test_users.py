"""contrib/examples/users: its own tests, and the README's command against `greenflow run`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests import programs

USERS = Path(__file__).parent.parent / "contrib" / "examples" / "users"
SECONDS = 20.0  # until something that was waited for has failed


def test_its_own_tests_pass(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--rootdir={USERS}", str(USERS)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_answered_survives_a_kill(tmp_path: Path, templates: None) -> None:
    (command,) = re.findall(r"`(curl .*?)`", (USERS / "README.md").read_text())
    file = tmp_path / "users.yaml"
    file.write_text((USERS / "users.yaml").read_text().replace("port: 8000", "port: 0"))
    answers = []
    for name in ("Anna", "Anne", "Anni"):
        process = programs.Process(
            ("run", str(file)),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        try:
            line = next(line for line in process.stderr if "listening on" in line)
            port = line.partition("127.0.0.1:")[2].partition('"')[0]
            asked = command.replace("localhost:8000", f"127.0.0.1:{port}")
            asked = asked.replace("Anna", name).replace("anna", name.lower())
            created = subprocess.run(
                ["bash", "-euc", asked], check=True, capture_output=True, text=True
            )
            answers.append(json.loads(created.stdout))
            listed = ["curl", "-s", f"127.0.0.1:{port}/users"]
            found = subprocess.run(listed, check=True, capture_output=True, text=True)
            assert json.loads(found.stdout) == answers
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(SECONDS)
            process.stderr.close()
    assert [each["id"] for each in answers] == [1, 2, 3]
