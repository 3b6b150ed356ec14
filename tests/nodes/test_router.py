"""router (BEHAVIOUR 9)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, SpecInvalid
from greenflow.nodes.router import Route, Routes
from greenflow.scheme import Scheme
from tests.flows import flow

ROUTES = [
    ("GET", "/"),
    ("GET", "/users"),
    ("POST", "/users"),
    ("GET", "/users/:id"),
    ("DELETE", "/users/:id"),
    ("GET", "/users/me"),
    ("GET", "/users/:user/posts/:post"),
    ("GET", "/files/*"),
    ("PUT", "/files/readme"),
    ("GET", "/files/a*ignored/behind"),
    ("GET", "no-slash"),
    ("GET", "/v1/items\\:batch"),
    ("GET", "/:any/static"),
    ("GET", "/caf%C3%A9"),
]


@pytest.fixture(scope="module")
def routes() -> Routes:
    made = Routes()
    for i, (method, path) in enumerate(ROUTES):
        assert made.add(Route(method, path, f"out[{i}]"))
    return made


@pytest.mark.parametrize(
    ("method", "path", "index", "params"),
    [
        ("GET", "/", 0, {}),
        ("GET", "/users", 1, {}),
        ("POST", "/users", 2, {}),
        ("GET", "/users/7", 3, {"id": "7"}),
        ("DELETE", "/users/me", 4, {"id": "me"}),
        ("GET", "/users/me", 5, {}),
        ("GET", "/users/me/posts/1", 6, {"user": "me", "post": "1"}),
        ("GET", "/users/a%2Fb", 3, {"id": "a/b"}),
        ("GET", "/files/", 7, {"*": ""}),
        ("GET", "/files/x/y%20z", 7, {"*": "x/y z"}),
        ("GET", "/files/readme", 7, {"*": "readme"}),
        ("GET", "/files/abc/d", 9, {"*": "bc/d"}),
        ("GET", "/no-slash", 10, {}),
        ("GET", "/v1/items:batch", 11, {}),
        ("GET", "/users/static", 3, {"id": "static"}),
        ("GET", "/x/static", 12, {"any": "x"}),
        ("GET", "/caf%c3%a9", 13, {}),
        ("HEAD", "/users", 1, {}),
    ],
)
def test_the_most_specific_route_with_the_method_wins(
    routes: Routes, method: str, path: str, index: int, params: dict[str, str]
) -> None:
    found = routes.match(method, path)
    assert not isinstance(found, set)
    leaf, texts = found
    assert (leaf.port, dict(zip(leaf.names, texts, strict=True))) == (f"out[{index}]", params)


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("GET", "/nowhere", set()),
        ("GET", "/users/", set()),
        ("GET", "/files", set()),
        ("PATCH", "/users/7", {"GET", "DELETE"}),
        ("DELETE", "/files/readme", {"PUT", "GET"}),
    ],
)
def test_without_a_route_the_methods_of_all_that_match_are_told(
    routes: Routes, method: str, path: str, methods: set[str]
) -> None:
    assert routes.match(method, path) == methods


ROUTER = """
- kind: router
  name: a
  routes:
    - {method: GET, path: /x/:id, port: "out[0]"}
    - {method: POST, path: /x/:id, port: "out[1]"}
  links: {"out[0]": {name: b}, LINKS}
- {kind: probe, name: b}
- {kind: probe, name: e}
"""


def request(method: str, path: str) -> dict[str, Any]:
    return {"method": method, "path": path, "header": {"Accept": ["*/*"]}}


def test_the_matched_request_leaves_with_its_params() -> None:
    with flow(ROUTER.replace(", LINKS", "")) as running:
        answer = running.call("a", request("HEAD", "/x/7"))
        assert answer == {**request("HEAD", "/x/7"), "params": {"id": "7"}}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("GET", "/y", {"status": 404, "body": "Not Found"}),
        (
            "PUT",
            "/x/1",
            {
                "status": 405,
                "header": {"Allow": ["GET, HEAD, OPTIONS, POST"]},
                "body": "Method Not Allowed",
            },
        ),
        ("OPTIONS", "/x/1", {"status": 204, "header": {"Allow": ["GET, HEAD, OPTIONS, POST"]}}),
    ],
)
def test_what_is_not_routed_goes_to_error_or_is_the_answer(
    linked: bool, method: str, path: str, answer: Any
) -> None:
    links = "error: {name: e}" if linked else "error: []"
    with flow(ROUTER.replace("LINKS", links)) as running:
        assert running.call("a", request(method, path)) == answer
        assert bool(running.probes.of("e")) == linked


def test_what_is_no_map_is_an_invalid_argument() -> None:
    with flow(ROUTER.replace(", LINKS", "")) as running, pytest.raises(InvalidArgument):
        running.call("a", "GET /x")


@pytest.mark.parametrize(
    ("routes", "path"),
    [
        ([{"method": "GET", "path": "/", "port": "in"}], "$.routes[0].port"),
        ([{"method": "GET", "path": "/", "port": "out[x]"}], "$.routes[0].port"),
        ([{"method": "GET", "path": "/a"}, {"method": "get", "path": "a"}], "$.routes[1]"),
        ([{"method": "GET", "path": "/:a"}, {"method": "GET", "path": "/:b"}], "$.routes[1]"),
        ([{"path": "/"}], "$.routes[0].method"),
    ],
)
def test_faulty_routes_are_refused_at_their_place(routes: Any, path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "router", "routes": routes}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]


texts = st.sampled_from(["a", "b", "c", ":x", "*"])
paths = st.lists(texts, min_size=1, max_size=4).map("/".join)


def rank(path: str) -> list[int]:
    return [2 if "*" in s else 1 if s.startswith(":") else 0 for s in path.split("/")]


def matches(pattern: str, path: str) -> bool:
    want, have = pattern.split("/"), path.split("/")
    for i, segment in enumerate(want):
        if "*" in segment:
            return i < len(have)
        if i >= len(have) or (segment != have[i] and not (segment == ":x" and have[i])):
            return False
    return len(want) == len(have)


@given(st.lists(paths, max_size=8), st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
def test_the_tree_finds_what_trying_every_route_finds(patterns: list[str], path: list[str]) -> None:
    made, kept = Routes(), []
    for pattern in patterns:
        shape = pattern[: pattern.index("*") + 1] if "*" in pattern else pattern
        if made.add(Route("GET", pattern, f"out[{len(kept)}]")):
            kept.append(shape)
    fitting = [pattern for pattern in kept if matches(pattern, "/".join(path))]
    found = made.match("GET", "/".join(path))
    if not fitting:
        assert found == set()
    else:
        assert not isinstance(found, set)
        best = min(fitting, key=rank)
        assert found[0].port == f"out[{kept.index(best)}]"


def test_ten_thousand_routes_are_a_tree() -> None:
    made = Routes()
    for i in range(10_000):
        assert made.add(Route("GET", f"/a/{i}/:id/x", f"out[{i}]"))
    found = made.match("GET", "/a/9999/5/x")
    assert not isinstance(found, set)
    assert found[0].port == "out[9999]"
