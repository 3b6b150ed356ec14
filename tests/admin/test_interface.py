"""What is answered to whom: hosts, origins, tokens, methods, media types, parameters."""

from __future__ import annotations

import pytest

from greenflow.admin.guarding import AdminGate
from tests.admin.asking import HOST, JSON, engine

STATUS = "/api/v1/status"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9000", 200),
        ("[::1]:9000", 200),
        ("10.2.3.4", 200),
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("ops.example", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_a_host_is_an_address_or_known(host: str, status: int) -> None:
    with engine(gate=AdminGate(hosts=["ops.example"])) as (_, ask):
        assert ask("GET", STATUS, headers=(("Host", host),)).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 200),
        ((("Origin", "http://127.0.0.1:9000"),), 200),
        ((("Origin", "https://127.0.0.1:9000"),), 403),
        ((("Origin", "http://127.0.0.1:9001"),), 403),
        ((("Origin", "http://evil.example"),), 403),
        ((("Origin", "null"),), 403),
        ((("Sec-Fetch-Site", "none"),), 200),
        ((("Sec-Fetch-Site", "same-origin"),), 200),
        ((("Sec-Fetch-Site", "same-site"),), 403),
        ((("Sec-Fetch-Site", "cross-site"),), 403),
    ],
)
def test_no_page_of_another_origin_may_ask(
    headers: tuple[tuple[str, str], ...], status: int
) -> None:
    with engine() as (_, ask):
        assert ask("GET", STATUS, headers=(HOST, *headers)).status == status


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Bearer right", 200),
        ("bearer other", 200),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer \xff", 401),
    ],
)
def test_a_token_is_asked_for(header: str | None, status: int) -> None:
    headers = (HOST,) if header is None else (HOST, ("Authorization", header))
    with engine(gate=AdminGate(tokens=["right", "other"])) as (_, ask):
        answer = ask("GET", STATUS, headers=headers)
        assert answer.status == status
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        for probe in ("/healthz", "/readyz"):
            assert ask("GET", probe, headers=(HOST,)).status == 200


def test_get_knows_head_and_nothing_else() -> None:
    with engine() as (_, ask):
        assert ask("HEAD", STATUS).status == 200
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = ask(method, STATUS)
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/", 404),
        ("/api/v1/status/", 404),
        ("//api/v1/status", 404),
        ("/api/v1/nodes/a/b", 404),
        ("/api/v1/nodes/%ff", 404),
        ("/api/v1/nodes/%2e%2e", 404),
        (f"/api/v1/nodes/{'x' * 5000}", 404),
        ("/api/v1/status?x=1", 400),
        ("/api/v1/nodes?limit=0", 400),
        ("/api/v1/nodes?limit=1001", 400),
        ("/api/v1/nodes?limit=x", 400),
        ("/api/v1/nodes?limit=1&limit=2", 400),
        ("/api/v1/nodes?state=odd", 400),
        ("/api/v1/nodes?cursor=odd", 400),
        ("/api/v1/nodes?cursor=%ff", 400),
        ("/api/v1/nodes?unknown=1", 400),
        (f"/api/v1/nodes?{'&'.join(f'a{i}=1' for i in range(51))}", 400),
    ],
)
def test_what_is_wrong_is_a_problem(target: str, status: int) -> None:
    with engine() as (_, ask):
        answer = ask("GET", target)
        assert answer.status == status
        assert answer.data["status"] == status
        assert answer.detail


def test_answers_are_not_kept_and_not_guessed_at() -> None:
    with engine() as (_, ask):
        for target in (STATUS, "/lost"):
            headers = ask("GET", target, headers=(HOST, JSON)).headers
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"


def test_it_answers_before_the_start_and_after_the_end() -> None:
    with engine([{"kind": "nop", "name": "a"}]) as (runtime, ask):
        assert ask("GET", "/readyz").status == 200
    assert ask("GET", "/healthz").status == 200
    assert ask("GET", "/readyz?verbose").data == {
        "ready": False,
        "missing": ["the engine does not run"],
    }
    assert ask.get(STATUS)["nodes"] == {}
    assert ask("GET", "/api/v1/nodes").status == 409
    with runtime:
        assert ask("GET", "/readyz").status == 200
