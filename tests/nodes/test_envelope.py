"""What is an answer and what is a request, over real sockets (BEHAVIOUR 8.3, 11.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, messages
from greenflow.net.message import Request
from greenflow.net.url import parse_url
from greenflow.nodes.envelope import KEYS, no_request, no_response
from greenflow.nodes.http import to_request
from greenflow.nodes.request import to_response
from tests.nodes.test_http import OK, asked
from tests.nodes.test_listener import FAILING, served

# Data that has keys of a response, and is none.
BODIES: list[Any] = [
    {"status": "ok"},
    {"status": 202, "message": "x"},
    {"status": True},
    {"status": 99},
    {"status": 600},
    {"status": -200},
    {"status": 200.0},
    {"status": "200"},
    {"status": [200]},
    {"status": {"code": 200}},
    {"status": "open", "body": "text of a letter"},
    {"header": "a title", "body": "a text"},
    {"header": ["a"], "status": 200},
    {"header": {"X": {"a": 1}}},
    {"header": {"X": None}},
    {"header": {"X": True}},
    {"header": {"X": [["a"]]}},
    {"header": {"X": ["a", None]}},
    {"header": 7},
    {"method": "card"},
    {"path": "/a", "query": {}},
    {"Status": 404},
    {"body": "x", "": 1},
    {},
]


@pytest.mark.parametrize("data", BODIES)
def test_data_is_the_body_of_a_200(data: Any) -> None:
    code = json.dumps(data)
    snippet = f"- {{kind: snippet, name: a, language: json, code: {code!r}}}"
    with served(snippet) as (_, client):
        answer = client.ask()
        assert answer.status == 200
        assert json.loads(answer.body) == data
    with served(snippet, fields="answers: response") as (_, client):
        assert client.ask().status == 500


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "export default () => ({status: 'ok'})"),
        ("typescript", "export default (x: any): any => ({status: 'ok'})"),
        ("cel", '{"status": "ok"}'),
        ("yaml", "status: ok"),
    ],
)
def test_the_status_of_a_snippet_is_its_own(language: str, code: str) -> None:
    with served(f"- {{kind: snippet, name: a, language: {language}, code: {code!r}}}") as (
        _,
        client,
    ):
        answer = client.ask()
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


RESPONSES: list[tuple[Any, int, bytes]] = [
    ({"status": 404}, 404, b""),
    ({"status": 0, "body": "x"}, 200, b"x"),
    ({"status": None, "body": "x"}, 200, b"x"),
    ({"status": 429, "header": {"Retry-After": 120}}, 429, b""),
    ({"status": 429, "header": {"Retry-After": [120]}}, 429, b""),
    ({"header": None, "body": "x"}, 200, b"x"),
    ({"header": {}}, 200, b""),
    ({"body": {"status": "ok"}}, 200, b'{"status":"ok"}\n'),
    ({"status": 201, "method": "GET", "path": 7, "params": {}, "body": "x"}, 201, b"x"),
]


@pytest.mark.parametrize(("answer", "status", "body"), RESPONSES)
@pytest.mark.parametrize("fields", ["", "answers: response"])
def test_these_are_responses(answer: Any, status: int, body: bytes, fields: str) -> None:
    code = json.dumps(answer)
    text = f"- {{kind: snippet, name: a, language: json, code: {code!r}}}"
    with served(text, fields=fields) as (_, client):
        got = client.ask()
        assert (got.status, got.body) == (status, body)


def test_javascript_says_a_status_as_ever() -> None:
    code = "export default () => ({status: 100 + 304, body: undefined, header: {'X-A': ['b']}})"
    text = f'- {{kind: snippet, name: a, language: javascript, code: "{code}"}}'
    with served(text, fields="answers: response") as (_, client):
        got = client.ask()
        assert (got.status, got.headers["x-a"]) == (404, "b")


@pytest.mark.parametrize("answer", [each for each, _, _ in RESPONSES])
def test_body_is_always_the_body(answer: Any) -> None:
    code = json.dumps(answer)
    text = f"- {{kind: snippet, name: a, language: json, code: {code!r}}}"
    with served(text, fields="answers: body") as (_, client):
        got = client.ask()
        assert (got.status, json.loads(got.body)) == (200, answer)


def test_an_error_has_the_status_that_its_link_answers() -> None:
    text = FAILING + "\n- {kind: snippet, name: e, language: yaml, code: '{status: 418}'}"
    for answers in ("auto", "body", "response"):
        with served(text, ", error: {name: e}", f"answers: {answers}") as (running, client):
            assert client.ask().status == 418
            assert ("a", "rolled back") in running.probes.seen


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ("{kind: nop, name: a}", "it is no map"),
        ("{kind: snippet, name: a, code: secret}", "it is no map"),
        ("{kind: snippet, name: a, language: yaml, code: '{status: secret}'}", "100 to 599"),
        ("{kind: snippet, name: a, language: yaml, code: '{header: secret}'}", "no map of strings"),
        ("{kind: snippet, name: a, language: yaml, code: '{body: secret, b: 1}'}", "has no 'b'"),
        ("{kind: snippet, name: a, language: yaml, code: '{path: secret}'}", "neither `status`"),
    ],
)
def test_what_has_to_be_a_response_and_is_none_is_a_500_that_says_why_in_the_log(
    node: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    hold = "\n- {kind: probe, name: first, resource: true, links: {'out[0]': {name: a}}}"
    with served(f"- {node}" + hold, fields="answers: response") as (running, client):
        assert client.ask().status == 500
        assert running.probes.of("first") == []
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "answers: response" in record.getMessage()
    assert reason in record.getMessage()
    assert "secret" not in record.getMessage()


def test_what_is_no_response_rolls_back() -> None:
    text = """
- {kind: probe, name: a, resource: true, links: {'out[0]': {name: b}}}
- {kind: snippet, name: b, code: text}
"""
    with served(text, fields="answers: response") as (running, client):
        assert client.ask().status == 500
        assert ("a", "rolled back") in running.probes.seen


# -- requests that are sent ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload", [{"status": "ok"}, {"status": 99, "body": "x"}, {"status": True}, {"a": 1}, {}]
)
def test_data_is_the_body_of_a_request(payload: Any) -> None:
    with asked(OK) as one:
        one.call(payload)
        assert one.line == "POST /"
        assert json.loads(one.server.body()) == payload
    with pytest.raises(InvalidArgument) as raised:
        to_request(parse_url("http://a.test"), payload, sends="request")
    assert "sends: request" in "; ".join(messages(raised.value))


@pytest.mark.parametrize(
    "payload", [{"method": "cash", "body": 5}, {"path": "/etc"}, {"host": "db1"}, {"status": 200}]
)
def test_a_body_may_look_like_a_request(payload: Any) -> None:
    request = to_request(parse_url("http://a.test/x"), payload, sends="body")
    assert (request.method, f"{request.url}{request.url.target}") == ("POST", "http://a.test/x")
    assert isinstance(request.body, bytes)
    assert json.loads(request.body) == payload


def test_an_answer_that_is_sent_on_is_a_request() -> None:
    payload = {"status": 404, "header": {"X-A": ["b"]}, "body": "gone"}
    request = to_request(parse_url("http://a.test"), payload)
    assert request.body == b"gone"


# -- whatever it is ------------------------------------------------------------------------------

LEAVES = (
    st.none() | st.booleans() | st.integers(-1, 700) | st.sampled_from([0.5, 200.0]) | st.text()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ANSWERS = VALUES | st.dictionaries(st.sampled_from([*sorted(KEYS), "message"]), VALUES, max_size=5)
REQUEST = Request("GET", "/", "/", "", "1.1", "a", [])


def is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


@given(ANSWERS)
def test_the_rule_for_answers(answer: Any) -> None:
    is_response = (
        isinstance(answer, dict)
        and bool({"status", "body", "header"} & set(answer))
        and set(answer) <= KEYS
        and (
            answer.get("status") is None
            or (type(answer["status"]) is int and answer["status"] in {0, *range(100, 600)})
        )
        and (
            answer.get("header") is None
            or (
                isinstance(answer["header"], dict)
                and all(
                    is_text(value) or (isinstance(value, list) and all(map(is_text, value)))
                    for value in answer["header"].values()
                )
            )
        )
    )
    assert (no_response(answer) == "") is is_response
    for answers in ("auto", "body"):
        if answers == "body" or not is_response:
            assert to_response(answer, REQUEST, answers).status == 200


@given(ANSWERS)
def test_the_rule_for_requests(payload: Any) -> None:
    assert bool(no_request(payload)) is not (
        isinstance(payload, dict)
        and bool(payload)
        and set(payload) <= KEYS
        and (
            payload.get("status") is None
            or (type(payload["status"]) is int and payload["status"] in {0, *range(100, 600)})
        )
    )
