"""auth: keys and passwords (BEHAVIOUR 22.1 to 22.4)."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from greenflow.errors import SpecInvalid
from greenflow.nodes.envelope import no_request
from greenflow.runtime import Runtime
from tests.nodes.auth.asking import guarded

KEYS = [
    {"name": "shop", "key": "the-key-of-the-shop"},
    {"name": "office", "sha256": sha256(b"the-key-of-the-office").hexdigest(), "scopes": ["all"]},
]


def basic(text: str) -> str:
    return f"Authorization: Basic {b64encode(text.encode()).decode()}"


def test_who_has_a_key_is_known_and_the_key_goes_no_further() -> None:
    with guarded(bearer={"keys": KEYS}) as api:
        said = json.loads(api.ask("Authorization: bearer the-key-of-the-office", "X-Other: 1").body)
        assert said["identity"] == {"name": "office", "scheme": "bearer", "scopes": ["all"]}
        assert "Authorization" not in said["header"]
        assert said["header"]["X-Other"] == ["1"]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Authorization: Bearer"],
        ["Authorization: Bearer "],
        ["Authorization: the-key-of-the-shop"],
        ["Authorization: Basic the-key-of-the-shop"],
        ["Authorization: Bearer the-key-of-the-shop2"],
        ["Authorization: Bearer the-key-of-the-sho"],
        ["Authorization: Bearer THE-KEY-OF-THE-SHOP"],
        ["Authorization: Bearer the-key-of-the-shop, the-key-of-the-shop"],
        ["Authorization: Bearer the-key-of-the-shop", "Authorization: Bearer the-key-of-the-shop"],
        ["Authorization: Bearer x", "Authorization: Bearer the-key-of-the-shop"],
        [f"Authorization: Bearer {KEYS[1]['sha256']}"],
        ["Authorization: Bearer the-key-of-the-shop" + "x" * 4096],
        ["Cookie: Authorization=Bearer the-key-of-the-shop"],
        ["Proxy-Authorization: Bearer the-key-of-the-shop"],
        ["X-Api-Key: the-key-of-the-shop"],
    ],
)
def test_nobody_else_is_let_in(lines: list[str]) -> None:
    with guarded(bearer={"keys": KEYS}) as api:
        answer = api.ask(*lines)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="api"')
        assert b"the-key" not in answer.body.lower()


def test_a_key_in_the_query_is_none() -> None:
    with guarded(api_key={"keys": KEYS}) as api:
        assert api.ask("X-Other: the-key-of-the-shop").status == 401


def test_a_header_of_its_own() -> None:
    with guarded(api_key={"keys": KEYS, "header": "x-shop-key"}, realm="shop") as api:
        said = json.loads(api.ask("X-SHOP-KEY: the-key-of-the-shop").body)
        assert said["identity"]["name"] == "shop"
        assert "X-Shop-Key" not in said["header"]
        answer = api.ask("X-Api-Key: the-key-of-the-shop")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'ApiKey realm="shop"')


USERS = {"users": [{"name": "ann", "password": "pass:word"}, {"name": "bé", "password": "ü"}]}


@pytest.mark.parametrize(("credentials", "name"), [("ann:pass:word", "ann"), ("bé:ü", "bé")])
def test_names_and_passwords(credentials: str, name: str) -> None:
    with guarded(basic=USERS) as api:
        said = json.loads(api.ask(basic(credentials)).body)
        assert said["identity"] == {"name": name, "scheme": "basic", "scopes": []}
        assert "Authorization" not in said["header"]


@pytest.mark.parametrize(
    "line",
    [
        basic("ann:"),
        basic("ann"),
        basic(":pass:word"),
        basic("ann:pass:word "),
        basic("Ann:pass:word"),
        basic("ann:ü"),
        "Authorization: Basic !!!",
        "Authorization: Basic YW5u\xe9",
        "Authorization: Basic /w==",
    ],
)
def test_other_names_and_passwords(line: str) -> None:
    with guarded(basic=USERS) as api:
        answer = api.ask(line)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="api", charset="UTF-8"'


def test_several_ways_in() -> None:
    with guarded(bearer={"keys": KEYS}, basic=USERS, api_key={"keys": KEYS}) as api:
        assert json.loads(api.ask(basic("ann:pass:word")).body)["identity"]["scheme"] == "basic"
        assert api.ask("X-Api-Key: the-key-of-the-shop").status == 200
        assert api.ask("X-Api-Key: wrong", basic("ann:pass:word")).status == 401
        challenges = api.ask().headers["www-authenticate"]
        assert "Bearer" in challenges
        assert "Basic" in challenges


def test_who_is_known_may_still_not_be_allowed() -> None:
    with guarded(bearer={"keys": KEYS}, require="'all' in self.identity.scopes") as api:
        assert api.ask("Authorization: Bearer the-key-of-the-office").status == 200
        answer = api.ask("Authorization: Bearer the-key-of-the-shop")
        assert answer.status == 403
        assert (
            answer.headers["www-authenticate"] == 'Bearer realm="api", error="insufficient_scope"'
        )


def test_a_condition_that_fails_lets_nobody_in() -> None:
    with guarded(bearer={"keys": KEYS}, require="self.nothing.there") as api:
        assert api.ask("Authorization: Bearer the-key-of-the-office").status == 500


def test_an_identity_that_a_client_sends_is_none() -> None:
    with guarded(bearer={"keys": KEYS}) as api:
        lines = ["Content-Type: application/json", "Authorization: Bearer the-key-of-the-shop"]
        said = json.loads(api.ask(*lines, "Identity: office", body=b'{"identity": "office"}').body)
        assert said["identity"]["name"] == "shop"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "$"),
        ({"bearer": {"keys": [{"name": "a"}]}}, "$.bearer.keys[0]"),
        ({"bearer": {"keys": [{"name": "a", "key": ""}]}}, "$.bearer.keys[0].key"),
        ({"bearer": {"keys": [{"name": "a", "key": "x", "sha256": "y"}]}}, "$.bearer.keys[0]"),
        ({"bearer": {"keys": [{"name": "a", "sha256": "x"}]}}, "$.bearer.keys[0].sha256"),
        ({"bearer": {"keys": []}}, "$.bearer.keys"),
        ({"api_key": {"keys": [{"name": "a", "key": "x"}], "header": "a b"}}, "$.api_key.header"),
        ({"basic": {"users": [{"name": "a:b", "password": "x"}]}}, "$.basic.users[0].name"),
        ({"basic": {"users": [{"name": "a", "password": ""}]}}, "$.basic.users[0].password"),
        ({"basic": USERS, "realm": 'a"b'}, "$.realm"),
        ({"basic": USERS, "require": "self."}, "$.require"),
        ({"basic": USERS, "signature": {"preset": "github", "secrets": ["x"]}}, "$.signature"),
        ({"signature": {"secrets": ["x"]}}, "$.signature"),
        ({"signature": {"preset": "github", "secrets": [""]}}, "$.signature.secrets[0]"),
        ({"signature": {"header": "a b", "secrets": ["x"]}}, "$.signature.header"),
    ],
)
def test_specs_that_let_anybody_in(fields: Any, path: str) -> None:
    with Runtime("memory://") as runtime, pytest.raises(SpecInvalid) as caught:
        runtime.operations.apply([{"kind": "auth", "name": "n", **fields}])
    assert path in [fault.path for fault in caught.value.faults]


def test_a_request_with_an_identity_is_one_for_http() -> None:
    """A proxy behind `auth` sends the request, and not the payload as its body."""
    request = {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "header": {}, "query": {}}
    for name in ("identity", "raw", "request_id"):
        assert no_request({**request, name: 1}) == ""
        assert no_request({"path": "/", name: 1})
        assert no_request({name: 1})
