"""Runtime.wsgi and greenflow.wsgi:app: a namespace's listeners inside the servers of others."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import falcon
import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client as WerkzeugClient

from greenflow.runtime import Runtime
from greenflow.spec.document import read
from tests import programs
from tests.nodes import old

SECONDS = 60.0  # until something that was waited for has failed

FLOW = """
- {kind: listener, name: http, port: 8000, links: {out: {name: router}}OPTIONS}
- kind: router
  name: router
  routes:
    - {method: GET, path: /ping, port: "out[0]"}
    - {method: POST, path: /echo, port: "out[1]"}
    - {method: GET, path: /old/*, port: "out[2]"}
    - {method: GET, path: /fails, port: "out[3]"}
    - {method: GET, path: /nothing, port: "out[4]"}
  links:
    "out[0]": {name: pong}
    "out[1]": {name: echo}
    "out[2]": {name: old}
    "out[3]": {name: fails}
    "out[4]": {name: nothing}
- {kind: snippet, name: pong, code: pong}
- {kind: snippet, name: echo, language: cel, code: "{'body': self}"}
- {kind: wsgi, name: old, script_name: /old, app: "APP"}
- {kind: snippet, name: fails, language: cel, code: "1 / 0"}
- {kind: nop, name: nothing}
"""


class Client(WerkzeugClient):
    """Takes every answer whole, and closes it, unless told otherwise."""

    def open(self, *args: Any, buffered: bool = True, **given: Any) -> Any:
        return super().open(*args, buffered=buffered, **given)


@contextmanager
def running(
    options: str = "", app: str = "tests.nodes.old:flask_app", **given: Any
) -> Iterator[Runtime]:
    text = FLOW.replace("OPTIONS", options).replace("APP", app)
    specs = [document.data for document in read(text, "test")]
    with Runtime("memory://", specs=specs, listen=False, **given) as runtime:
        assert all(symbol["active"] for symbol in runtime.status()), runtime.status()
        yield runtime


@pytest.fixture(params=[False, True], ids=["same hub", "own thread"])
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of the workflow, with the validator in between."""
    with running(own_thread=request.param) as runtime:
        yield Client(validator(runtime.wsgi))


def test_it_answers_as_the_listener_does(client: Client) -> None:
    answer = client.get("/ping")
    assert (answer.status, answer.data) == ("200 OK", b"pong")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    answer = client.head("/ping")
    assert (answer.data, answer.headers["Content-Length"]) == (b"", "4")
    assert client.get("/missing").status_code == 404
    assert client.post("/ping").headers["Allow"] == "GET, HEAD, OPTIONS"
    assert client.get("/nothing").data == b""


def test_an_error_says_nothing(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.get("/fails")
    assert (answer.status_code, answer.data) == (500, b"Internal Server Error")
    assert "unhandled error" in caplog.text


def test_a_request_arrives_whole(client: Client) -> None:
    answer = client.post("/echo?x=1&x=%C3%A9", json={"a": [1]}, headers={"X-Mine": "2"})
    payload = json.loads(answer.data)
    assert payload["path"] == "/echo"
    assert payload["query"] == {"x": ["1", "é"]}
    assert payload["body"] == {"a": [1]}
    assert payload["header"]["X-Mine"] == ["2"]
    assert client.post("/echo", data=b"{", content_type="application/json").status_code == 400


def test_a_streamed_answer_is_taken_piece_by_piece(client: Client) -> None:
    answer = client.get("/old/stream?of=n")
    assert answer.data == b"n0\nn1\nn2\n"


@pytest.mark.parametrize("own_thread", [False, True])
def test_a_server_that_wants_no_more_closes_the_answer(own_thread: bool) -> None:
    old.endless.closed = 0
    with running(app="tests.nodes.old:endless", own_thread=own_thread) as runtime:
        answer = Client(runtime.wsgi).get("/old/", buffered=False)
        assert next(answer.iter_encoded())  # type: ignore[call-overload]
        assert runtime.services.processes
        assert old.endless.closed == 0
        answer.close()
        assert old.endless.closed == 1
        assert not runtime.services.processes


def test_a_streamed_request_is_read_as_it_comes() -> None:
    for own_thread in (False, True):
        text = """
- {kind: listener, name: http, port: 8000, stream: true, links: {out: {name: old}}}
- {kind: wsgi, name: old, app: "tests.nodes.old:sized"}
"""
        specs = [document.data for document in read(text, "test")]
        with Runtime(specs=specs, listen=False, own_thread=own_thread) as runtime:
            answer = Client(validator(runtime.wsgi)).post("/", data=b"one\ntwo\n" * 2_000)
            assert answer.data == b"ONE\nTWO\n" * 2_000


def test_the_limits_and_cors_of_the_listener_hold() -> None:
    options = ', limits: {body: 10}, cors: {origins: ["https://a.example"]}'
    with running(options) as runtime:
        client = Client(validator(runtime.wsgi))
        assert client.post("/echo", data=b"a" * 11).status_code == 413
        asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        answer = client.options("/ping", headers=asked)
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
        answer = client.get("/ping", headers={"Origin": "https://a.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"


def ask(application: Any, **given: Any) -> tuple[str, bytes]:
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ.update(given)
    told: list[Any] = []
    body = b"".join(application(environ, lambda *start: told.extend(start)))
    return told[0], body


def test_several_listeners_are_told_apart_by_port_or_name(caplog: pytest.LogCaptureFixture) -> None:
    text = """
- {kind: listener, name: a, port: 8001, links: {out: {name: one}}}
- {kind: listener, name: b, port: 8002, links: {out: {name: two}}}
- {kind: snippet, name: one, code: one}
- {kind: snippet, name: two, code: two}
"""
    specs = [document.data for document in read(text, "test")]
    with Runtime(specs=specs, listen=False) as runtime:
        assert ask(runtime.wsgi, SERVER_PORT="8001")[1] == b"one"
        assert ask(runtime.wsgi, SERVER_PORT="8002")[1] == b"two"
        assert ask(runtime.wsgi_of("b"))[1] == b"two"
        assert ask(runtime.wsgi)[0] == "503 Service Unavailable"
        assert "use wsgi_of(NAME)" in caplog.text
        assert ask(runtime.wsgi_of("c"))[0] == "503 Service Unavailable"
        assert "no listener named 'c'" in caplog.text
        runtime.operations.update({"name": "two", "code": "changed"})
    assert ask(runtime.wsgi)[0] == "503 Service Unavailable"


def test_the_first_request_starts_the_runtime() -> None:
    specs = [document.data for document in read(FLOW.replace("OPTIONS", ""), "test")]
    specs = [spec for spec in specs if spec["name"] != "old"]
    specs[1]["links"]["out[2]"] = {"name": "pong"}
    runtime = Runtime(specs=specs, listen=False)
    try:
        assert ask(runtime.wsgi, PATH_INFO="/ping") == ("200 OK", b"pong")
    finally:
        runtime.stop()


def test_two_runtimes_of_one_port_open_no_socket() -> None:
    with running() as one, running() as other:
        assert ask(one.wsgi, PATH_INFO="/ping") == ask(other.wsgi, PATH_INFO="/ping")


def test_a_changed_listener_goes_on_and_a_removed_one_is_503() -> None:
    with running() as runtime:
        from tests.waiting import until

        (spec,) = runtime.operations.update({"name": "http", "cors": {"origins": ["*"]}})
        until(lambda: runtime.table.find("http").revision == spec.revision)
        assert ask(runtime.wsgi, PATH_INFO="/ping")[1] == b"pong"
        runtime.operations.delete({"name": "http"})
        until(lambda: ask(runtime.wsgi)[0].startswith("503"))


def test_it_is_mounted_in_flask() -> None:
    host = flask.Flask(__name__)
    host.add_url_rule("/", view_func=lambda: "home")
    with running() as runtime:
        host.wsgi_app = DispatcherMiddleware(host.wsgi_app, {"/flow": runtime.wsgi})  # type: ignore[method-assign]
        client = host.test_client()
        assert client.get("/").data == b"home"
        assert client.get("/flow/ping").data == b"pong"
        assert client.get("/flow/old/stream?of=a").data == b"a0\na1\na2\n"
        assert client.get("/flow/").status_code == 404


def test_it_is_mounted_beside_falcon() -> None:
    with running() as runtime:
        app = DispatcherMiddleware(falcon.App(), {"/flow": runtime.wsgi})
        assert WerkzeugClient(app).get("/flow/ping").data == b"pong"
        assert WerkzeugClient(app).get("/").status_code == 404


def test_many_threads_share_it() -> None:
    """As in a plain program whose server has a thread for each request."""
    with running(own_thread=True) as runtime:
        found: list[bytes] = []

        def work() -> None:
            for _ in range(50):
                body = io.BytesIO(b"x")
                given = {"REQUEST_METHOD": "POST", "PATH_INFO": "/echo", "CONTENT_LENGTH": "1"}
                found.append(ask(runtime.wsgi, **given, **{"wsgi.input": body})[1])

        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert len(found) == 200
        assert len(set(found)) == 1


# -- under gunicorn ----------------------------------------------------------------------------

WAITING = """
import os, sys, time
def app(environ, start_response):
    sys.stderr.write("begun\\n"); sys.stderr.flush()
    while not os.path.exists("released"):
        time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"done"]
"""


@contextmanager
def gunicorn(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """gunicorn with the workflow, and its port."""
    (folder / "flow.yaml").write_text(FLOW.replace("OPTIONS", "").replace("APP", "waiting:app"))
    (folder / "waiting.py").write_text(WAITING)
    environ = {**os.environ, "GREENFLOW_DATABASE": "sqlite:///flow.db", "HOME": str(folder)}
    environ["PYTHONPATH"] = os.pathsep.join((str(folder), str(Path(__file__).parent.parent)))
    applied = programs.run(("apply", "-f", "flow.yaml"), cwd=folder, env=environ)
    assert applied.returncode == 0, applied.stderr
    # A worker that is told to end while it begins does not hear it, and gunicorn waits for it for
    # its whole `--graceful-timeout`; with any application.
    (folder / "gunicorn.conf.py").write_text(
        "def post_worker_init(worker): worker.log.info('has begun')\n"
    )
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", "127.0.0.1:0", *options]
    process = subprocess.Popen(
        [*command, "greenflow.wsgi:app"],
        cwd=folder,
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "Listening at" in line)
        for _ in range(int(options[options.index("-w") + 1])):
            next(line for line in process.stderr if "has begun" in line)
        yield process, int(line.partition("127.0.0.1:")[2].partition(" ")[0])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def documented() -> tuple[str, ...]:
    """The options of the command that contrib/docs/wsgi.md gives."""
    page = (Path(__file__).parent.parent / "contrib" / "docs" / "wsgi.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith("    GREENFLOW_DATABASE="))
    setting, command, *options, app = shlex.split(line)
    assert setting.startswith("GREENFLOW_DATABASE=sqlite:///")
    assert (command, app) == ("gunicorn", "greenflow.wsgi:app")
    return tuple(options)


@pytest.mark.parametrize("options", [documented(), ("-w", "1"), ("-w", "2", "--preload")])
def test_gunicorn_serves_it_and_drains(
    options: tuple[str, ...], tmp_path: Path, templates: None
) -> None:
    with gunicorn(tmp_path, *options) as (process, port):
        for _ in range(10):
            connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            connection.request("GET", "/ping")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"pong")
            connection.close()
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("GET", "/old/")
        assert process.stderr is not None
        assert next(line for line in process.stderr if line == "begun\n")
        process.send_signal(signal.SIGTERM)
        assert next(line for line in process.stderr if "Handling signal: term" in line)
        (tmp_path / "released").touch()
        assert connection.getresponse().read() == b"done"
        connection.close()
        log = process.stderr.read()
        assert process.wait(SECONDS) == 0
        assert "Traceback" not in log
        assert '"error"' not in log


def test_a_store_that_is_away_is_503(caplog: pytest.LogCaptureFixture) -> None:
    runtime = Runtime("sqlite:////no/such/folder/flow.db", listen=False)
    assert ask(runtime.wsgi)[0] == "503 Service Unavailable"
    assert "a request is answered 503" in caplog.text
    runtime.stop()
