"""router (BEHAVIOUR 9)."""

from __future__ import annotations

import re
from itertools import product
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument, SpecInvalid
from greenflow.nodes.router import MOST_SEGMENTS, Route, Router, Routes
from greenflow.scheme.registry import Scheme
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
        ("GET", "/users/./me", 5, {}),
        ("GET", "/x/../users/%2e%2E/users/7", 3, {"id": "7"}),
        ("GET", "/../../users", 1, {}),
        ("GET", "/files/a/..", 7, {"*": ""}),
        ("GET", "/files/x/.", 7, {"*": "x/"}),
        ("GET", "/users/..", 0, {}),
        ("GET", "/users/...", 3, {"id": "..."}),
        ("GET", "/users/..%2Fx", 3, {"id": "../x"}),
        ("GET", "/files/a%2Fb/c", 9, {"*": "/b/c"}),
        ("GET", "/files//x", 7, {"*": "/x"}),
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
        ("GET", "/files/../x", set()),
        ("GET", "/files/..%2f..%2Fetc%2fpasswd", set()),
        ("GET", "/files/x/%2e%2e%2f..", set()),
        ("GET", "/files/a/..%2f", set()),
        ("OPTIONS", "*", {"GET", "POST", "DELETE", "PUT"}),
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
        ([{"method": "GET", "path": "/a/../b"}], "$.routes[0].path"),
        ([{"method": "GET", "path": "/a/%2e"}], "$.routes[0].path"),
        ([{"method": "GET", "path": "a"}, {"method": "GTE", "path": "b"}], "$.routes[1].method"),
        ([{"method": "GET,POST", "path": "a", "any_method": True}], "$.routes[0].method"),
        ([{"method": "CONNECT", "path": "a"}], "$.routes[0].method"),
    ],
)
def test_faulty_routes_are_refused_at_their_place(routes: Any, path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "router", "routes": routes}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]


def test_a_route_may_name_a_method_of_its_own() -> None:
    text = """
- kind: router
  name: a
  routes: [{method: brew, path: pots, any_method: true}]
  links: {'out[0]': {name: b}}
- {kind: snippet, name: b, code: coffee}
"""
    with flow(text) as running:
        assert running.call("a", request("BREW", "/pots")) == "coffee"


# Against a reading of BEHAVIOUR 9 that tries every route.

STATIC, PARAMETER, REST = range(3)


def shape(route: str) -> list[tuple[int, str]]:
    """The route's segments: what each is, and its text."""
    found = []
    for segment in route.removeprefix("/").split("/"):
        if "*" in segment:
            return [*found, (REST, unquote(segment.split("*")[0]))]
        is_parameter = segment[:1] == ":" and segment != ":"
        kind = (PARAMETER, "") if is_parameter else (STATIC, unquote(segment.replace("\\:", ":")))
        found.append(kind)
    return found


def rank(wanted: list[tuple[int, str]]) -> list[tuple[int, int]]:
    return [(kind, -len(text)) for kind, text in wanted]


def without_dots(path: str) -> str:
    """RFC 3986 5.2.4, as it is written there, but an encoded dot is a dot."""
    rest, done = re.sub("%2e", ".", path, flags=re.IGNORECASE), ""
    while rest:
        if rest.startswith("/./") or rest == "/.":
            rest = "/" + rest[3:]
        elif rest.startswith("/../") or rest == "/..":
            rest, done = "/" + rest[4:], done[: max(0, done.rfind("/"))]
        else:
            cut = rest.find("/", 1) if "/" in rest[1:] else len(rest)
            rest, done = rest[cut:], done + rest[:cut]
    return done


def matches(wanted: list[tuple[int, str]], path: str) -> list[str] | None:
    """The texts of the parameters, if it matches."""
    have, texts = [unquote(segment) for segment in without_dots(path)[1:].split("/")], []
    for i, (kind, text) in enumerate(wanted):
        if kind == REST:
            rest = "/".join(have[i:])
            if i >= len(have) or not have[i].startswith(text) or ".." in rest.split("/"):
                return None
            return [*texts, rest[len(text) :]]
        if i >= len(have) or (kind == STATIC and have[i] != text):
            return None
        if kind == PARAMETER:
            if not have[i]:
                return None
            texts.append(have[i])
    return texts if len(wanted) == len(have) else None


def naive(
    routes: list[tuple[str, str]], method: str, path: str
) -> tuple[int, list[str]] | set[str]:
    """The route's number with its texts, or the methods that would match."""
    found = [
        (rank(shape(route)), verb != method, i, texts, verb)
        for i, (verb, route) in enumerate(routes)
        if (texts := matches(shape(route), path)) is not None
    ]
    fitting = [one for one in found if one[4] in (method, *["GET"] * (method == "HEAD"))]
    if not fitting:
        return {verb for *_, verb in found}
    _, _, i, texts, _ = min(fitting)
    return i, texts


PIECES = st.sampled_from(
    ["a", "b", "ab", "", ":x", ":y", "*", "a*", "ab*x", "\\:x", "%61", "a%2Fb"]
)
PATHS = st.lists(PIECES, min_size=1, max_size=4).map("/".join)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"])
ASKED = st.lists(
    st.sampled_from(
        ["a", "b", "ab", "abc", "", ":x", "a%2Fb", "%61", ".", "..", "%2E%2e", "..%2F"]
    ),
    min_size=1,
    max_size=5,
).map(lambda segments: "/" + "/".join(segments))


@settings(max_examples=400)
@given(st.lists(st.tuples(METHODS, PATHS), max_size=10), METHODS, ASKED)
def test_the_tree_finds_what_trying_every_route_finds(
    routes: list[tuple[str, str]], method: str, path: str
) -> None:
    made, kept = Routes(), []
    for verb, route in routes:
        if made.add(Route(verb, route, f"out[{len(kept)}]")):
            kept.append((verb, route))
    found = made.match(method, path)
    if not isinstance(found, set):
        found = int(found[0].port[4:-1]), list(found[1])
    assert found == naive(kept, method, path)


class Steps(dict[str, Any]):
    """Counts how often it is asked."""

    asked = 0

    def get(self, key: str, default: Any = None) -> Any:
        Steps.asked += 1
        return super().get(key, default)


def steps(made: Routes, method: str, path: str) -> int:
    """How many places of the tree were looked at for one match."""
    places = [made.root]
    while places:
        branch = places.pop()
        if type(branch.static) is dict:
            branch.static, branch.rests = Steps(branch.static), Steps(branch.rests)
        below = (*branch.static.values(), branch.parameter)
        places += [each for each in below if each is not None]
    Steps.asked = 0
    made.match(method, path)
    return Steps.asked


def test_ten_thousand_routes_are_a_tree() -> None:
    made = Routes()
    for i in range(10_000):
        assert made.add(Route("GET", f"/a/{i}/:id/x", f"out[{i}]"))
        assert made.add(Route("GET", f"/{i}*", "out[0]"))
    found = made.match("GET", "/a/9999/5/x")
    assert not isinstance(found, set)
    assert found[0].port == "out[9999]"
    assert steps(made, "GET", "/a/9999/5/x") <= 4
    assert steps(made, "GET", "/9999/5/x") <= 5
    assert steps(made, "GET", "/nowhere") <= 5


def test_going_back_looks_at_no_place_twice() -> None:
    """Each of the paths below the 2^10 routes is tried, and none of them again."""
    made, places = Routes(), 2**11 - 1
    for bits in product(["a", ":x"], repeat=10):
        assert made.add(Route("GET", "/".join((*bits, "end")), "out[0]"))
    assert made.match("GET", "/a" * 10 + "/other") == set()
    assert steps(made, "GET", "/a" * 10 + "/other") <= places
    assert steps(made, "GET", "/a" * 4000) <= places
    assert steps(made, "GET", "/b" * 10 + "/end") == 11


def test_a_route_may_be_deep() -> None:
    made = Routes()
    assert made.add(Route("GET", "/:x" * 5000 + "/*", "out[0]"))
    found = made.match("GET", "/a" * 5000 + "/rest")
    assert not isinstance(found, set)
    assert list(found[1]) == [*["a"] * 5000, "rest"]


def test_a_path_has_so_many_segments_at_most() -> None:
    at_most = {"method": "GET", "path": "/a" * MOST_SEGMENTS}
    Scheme.installed().validate({"kind": "router", "routes": [at_most]}, "default")
    more = {"method": "GET", "path": "/:a" * (MOST_SEGMENTS + 1)}
    with pytest.raises(SpecInvalid, match=f"at most {MOST_SEGMENTS} segments") as told:
        Scheme.installed().validate({"kind": "router", "routes": [at_most, more]}, "default")
    assert [fault.path for fault in told.value.faults] == ["$.routes[1].path"]


def test_links_that_nothing_leaves_by_are_each_told_in_a_few_words() -> None:
    routes = [{"method": "GET", "path": f"/{i}", "port": f"out[{i}]"} for i in range(300)]
    links = {f"out[{i}]": [{"name": "a"}] for i in range(300, 600)}
    spec = {"kind": "router", "name": "r", "namespace": "n", "routes": routes, "links": links}
    scheme = Scheme.installed()
    found = Router.doubts(scheme.decode(spec, "n"), scheme)
    assert len(found) == 600
    assert max(len(fault.reason) for fault in found) < 400


def test_of_thousands_of_faults_an_error_tells_the_first() -> None:
    routes = [{"method": "GETT", "path": f"/{i}"} for i in range(3_000)]
    with pytest.raises(SpecInvalid) as refused:
        Scheme.installed().decode({"kind": "router", "routes": routes}, "n")
    assert len(refused.value.faults) >= 3_000
    assert len(str(refused.value)) < 100_000
    assert str(refused.value).endswith(" more faults")
