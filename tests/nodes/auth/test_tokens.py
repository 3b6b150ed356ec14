"""auth: tokens that others have signed (BEHAVIOUR 22.5)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from greenflow.errors import RequestFailed, SpecInvalid
from greenflow.net.outgoing import ClientRequest, ClientResponse
from greenflow.nodes.auth import tokens
from greenflow.nodes.auth.identity import Refused
from greenflow.nodes.auth.spec import JwtSpec
from greenflow.nodes.auth.tokens import PublishedKeys, Tokens
from greenflow.runtime import Runtime
from tests.net.scripted import reply, scripted
from tests.nodes.auth.asking import guarded

ISSUER, AUDIENCE, SECRET = (
    "https://id.test",
    "shop",
    "a-secret-of-more-than-the-sixty-four-bytes-that-the-longest-hash-asks-for",
)

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return str(public.decode())


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    said = {"sub": "ann", "iss": ISSUER, "aud": AUDIENCE, "exp": now + 60, "scope": "read write"}
    return {name: value for name, value in (said | more).items() if value is not ...}


def token(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers)


def spec(**more: Any) -> dict[str, Any]:
    said = {"algorithms": ["HS256"], "issuer": ISSUER, "audience": AUDIENCE, "keys": [SECRET]}
    return {**said, **more}


def known(given: str, **more: Any) -> Any:
    """Who has the token, by these fields of a spec."""
    fields = spec(**more)
    return Tokens(JwtSpec(**{**fields, "audience": [fields["audience"]]}), None).identify(given)


def test_who_has_a_token_is_known() -> None:
    with guarded(jwt=spec(), require="'write' in self.identity.scopes") as api:
        said = json.loads(api.ask(f"Authorization: Bearer {token()}").body)
        identity = said["identity"]
        assert (identity["name"], identity["scheme"]) == ("ann", "jwt")
        assert identity["scopes"] == ["read", "write"]
        assert identity["claims"]["iss"] == ISSUER
        assert "Authorization" not in said["header"]
        assert api.ask(f"Authorization: Bearer {token(scope='read')}").status == 403
        answer = api.ask("Authorization: Bearer nonsense")
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="api", error="invalid_token"'


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "PS384"), (EC, "ES256"), (ED, "EdDSA")],
)
def test_public_keys(key: Any, algorithm: str) -> None:
    fields = {"algorithms": [algorithm], "keys": [pem(OTHER_RSA), pem(key)]}
    if algorithm in ("ES256", "EdDSA"):
        fields["keys"] = [pem(key)]
    assert known(token(key, algorithm), **fields).name == "ann"


def changed(part: int, change: Callable[[bytes], bytes], given: str | None = None) -> str:
    """A token with one of its parts changed, its signature as it was."""
    parts = (given or token()).split(".")
    raw = base64.urlsafe_b64decode(parts[part] + "=" * (-len(parts[part]) % 4))
    parts[part] = base64.urlsafe_b64encode(change(raw)).rstrip(b"=").decode()
    return ".".join(parts)


def unsigned(algorithm: str, signature: str = "") -> str:
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode())
    return f"{head.rstrip(b'=').decode()}.{body.rstrip(b'=').decode()}.{signature}"


NOW = int(time.time())


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\u00e9.b.c",
        token() + ".x",
        token().rpartition(".")[0],
        token().rpartition(".")[0] + ".",
        token()[:-1],
        token()[:-4],
        token() + "A",
        token().upper(),
        unsigned("none"),
        unsigned("None"),
        unsigned("nOnE", "AAAA"),
        unsigned("HS256"),
        unsigned("HS256", "AAAA"),
        unsigned("HS384", token(algorithm="HS384").rpartition(".")[2]),
        token(algorithm="HS384"),
        token("another-secret-of-thirty-two-bytes!!"),
        token(SECRET + " "),
        token(exp=NOW - 3600),
        token(exp=NOW - 31),
        token(exp=...),
        token(exp=0),
        token(exp="never"),
        token(nbf=NOW + 3600),
        token(iat=NOW + 3600),
        token(iss="https://id.test/"),
        token(iss="https://evil.test"),
        token(iss=...),
        token(aud="other"),
        token(aud=["other", "another"]),
        token(aud=[]),
        token(aud=...),
        token(aud=SECRET),
        changed(0, lambda head: head.replace(b"HS256", b"none ")),
        changed(1, lambda body: body.replace(b"ann", b"bob")),
        changed(1, lambda body: body.replace(b"read", b"full")),
        changed(1, lambda body: body + b" "),
        changed(2, lambda mac: mac[:-1] + bytes([mac[-1] ^ 1])),
        changed(2, lambda mac: mac[:16]),
        changed(2, lambda mac: b""),
        "x" * (tokens.LONGEST + 1),
        token(note="x" * tokens.LONGEST),
        f"{token()} {token()}",
        f"{token()},",
    ],
)
def test_what_is_not_good_is_refused(given: str) -> None:
    with pytest.raises(Refused) as caught:
        known(given)
    assert caught.value.status == 401
    assert given not in str(caught.value) or not given


def test_a_public_key_is_no_secret() -> None:
    """The key that anybody may know, used for HMAC."""
    forged = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=").decode()
    mac = hmac.new(pem(RSA).encode(), f"{forged}.{body}".encode(), hashlib.sha256).digest()
    given = f"{forged}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(Refused, match="in a way that is not allowed"):
        known(given, algorithms=["RS256"], keys=[pem(RSA)])


@pytest.mark.parametrize(
    "headers",
    [
        {"jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER_RSA.public_key()))},
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/keys"},
        {"kid": "../../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"kid": ""},
    ],
)
def test_a_token_does_not_say_which_key_it_is_good_by(headers: Any) -> None:
    given = token(OTHER_RSA, "RS256", headers)
    with pytest.raises(Refused, match="signature of the token is wrong"):
        known(given, algorithms=["RS256"], keys=[pem(RSA)])


def test_extensions_that_must_be_understood_are_not() -> None:
    with pytest.raises(Refused):
        known(token(headers={"crit": ["exp"]}))


def test_clocks_may_differ_a_little() -> None:
    assert known(token(exp=int(time.time()) - 25)).name == "ann"
    with pytest.raises(Refused, match="expired"):
        known(token(exp=int(time.time()) - 25), leeway=0.0)


# -- published keys ----------------------------------------------------------------------------


def published(*keys: Any, **more: Any) -> bytes:
    """A set of keys as an issuer answers it."""
    entries = []
    for number, key in enumerate(keys):
        of = jwt.algorithms.RSAAlgorithm if key in (RSA, OTHER_RSA) else jwt.algorithms.ECAlgorithm
        entries.append({**json.loads(of.to_jwk(key.public_key())), "kid": f"k{number}", **more})
    return json.dumps({"keys": entries}).encode()


class Issuer:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.body: bytes | None = published(RSA)
        self.asked = 0

    def exchange(self, request: ClientRequest, seconds: float, limit: int) -> ClientResponse:
        self.asked += 1
        if self.body is None:
            raise RequestFailed("away")
        return ClientResponse(200, [], self.body)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [1000.0]
    monkeypatch.setattr(tokens, "monotonic", lambda: moment[0])
    return moment


def by_issuer(issuer: Issuer) -> Tokens:
    fields = JwtSpec(["RS256", "ES256"], ISSUER, [AUDIENCE], jwks="https://id.test/keys")
    return Tokens(fields, PublishedKeys("https://id.test/keys", issuer.exchange))


def test_published_keys_are_kept_and_fetched_again(now: list[float]) -> None:
    issuer = Issuer()
    who = by_issuer(issuer)
    good = token(RSA, "RS256", {"kid": "k0"})
    for _ in range(3):
        assert who.identify(good).name == "ann"
    assert issuer.asked == 1
    now[0] += tokens.KEPT + 1
    assert who.identify(good).name == "ann"
    assert issuer.asked == 2


def test_a_new_key_is_found_and_unknown_ones_do_not_make_it_ask(now: list[float]) -> None:
    issuer = Issuer()
    who = by_issuer(issuer)
    who.identify(token(RSA, "RS256", {"kid": "k0"}))
    issuer.body = published(RSA, EC)
    new = token(EC, "ES256", {"kid": "k1"})
    with pytest.raises(Refused, match="not known"):
        who.identify(new)  # the pause since the first fetch is not over
    now[0] += tokens.PAUSE
    assert who.identify(new).name == "ann"
    assert issuer.asked == 2
    for number in range(100):
        with pytest.raises(Refused, match="not known"):
            who.identify(token(RSA, "RS256", {"kid": f"guess{number}"}))
    assert issuer.asked == 2


def test_the_old_keys_stay_while_the_issuer_is_away(now: list[float]) -> None:
    issuer = Issuer()
    who = by_issuer(issuer)
    good = token(RSA, "RS256", {"kid": "k0"})
    who.identify(good)
    issuer.body = None
    now[0] += tokens.KEPT + 1
    for _ in range(5):
        assert who.identify(good).name == "ann"
    assert issuer.asked == 2
    issuer.body = b"<html>"
    now[0] += tokens.PAUSE
    assert who.identify(good).name == "ann"


def test_without_any_keys_it_is_nobodys_fault_who_asks(now: list[float]) -> None:
    issuer = Issuer()
    issuer.body = None
    with pytest.raises(Refused) as caught:
        by_issuer(issuer).identify(token(RSA, "RS256", {"kid": "k0"}))
    assert caught.value.status == 503


@pytest.mark.parametrize(
    "body",
    [
        published(RSA, use="enc"),
        published(RSA, alg="RSA-OAEP"),
        json.dumps({"keys": [{"kty": "oct", "kid": "k0", "k": "c2VjcmV0"}]}).encode(),
        json.dumps({"keys": [7, None, {"kty": "RSA", "kid": "k0"}]}).encode(),
        b'{"keys": {}}',
        b"[]",
    ],
)
def test_keys_that_are_none(now: list[float], body: bytes) -> None:
    issuer = Issuer()
    issuer.body = body
    with pytest.raises(Refused):
        by_issuer(issuer).identify(token(RSA, "RS256", {"kid": "k0"}))


def test_a_token_without_a_name_is_good_by_the_only_key(now: list[float]) -> None:
    issuer = Issuer()
    assert by_issuer(issuer).identify(token(RSA, "RS256")).name == "ann"
    issuer.body = published(RSA, EC)
    with pytest.raises(Refused, match="not known"):
        by_issuer(issuer).identify(token(RSA, "RS256"))


def test_keys_are_fetched_over_http() -> None:
    with scripted(reply(published(RSA))) as server:
        url = f"http://{server.host}:{server.port}/keys"
        fields = spec(algorithms=["RS256"], jwks=url)
        del fields["keys"]
        with guarded(jwt=fields) as api:
            line = f"Authorization: Bearer {token(RSA, 'RS256', {'kid': 'k0'})}"
            assert [api.ask(line).status for _ in range(3)] == [200, 200, 200]
    assert len(server.requests) == 1


# -- specs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (spec(algorithms=["none"]), "$.jwt.algorithms[0]"),
        (spec(algorithms=[]), "$.jwt.algorithms"),
        (spec(algorithms=["HS256", "RS256"]), "$.jwt.algorithms"),
        (spec(algorithms=["RS256"]), "$.jwt.keys[0]"),
        (spec(keys=["short"]), "$.jwt.keys[0]"),
        (spec(keys=[SECRET[:31]]), "$.jwt.keys[0]"),
        (spec(algorithms=["HS512"], keys=[SECRET[:40]]), "$.jwt.keys[0]"),
        (spec(keys=[pem(RSA)]), "$.jwt.keys[0]"),
        (spec(keys=[]), "$.jwt"),
        (spec(jwks="https://id.test/keys"), "$.jwt"),
        (spec(keys=[], jwks="https://id.test/keys"), "$.jwt.jwks"),
        (spec(keys=[], algorithms=["RS256"], jwks="file:///etc/passwd"), "$.jwt.jwks"),
        (spec(issuer=""), "$.jwt.issuer"),
        (spec(audience=[]), "$.jwt.audience"),
        ({k: v for k, v in spec().items() if k != "issuer"}, "$.jwt.issuer"),
        ({k: v for k, v in spec().items() if k != "audience"}, "$.jwt.audience"),
    ],
)
def test_specs_that_let_anybody_in(fields: Any, path: str) -> None:
    with Runtime("memory://") as runtime, pytest.raises(SpecInvalid) as caught:
        runtime.operations.apply([{"kind": "auth", "name": "n", "jwt": fields}])
    assert path in [fault.path for fault in caught.value.faults]


def test_a_short_secret_from_a_value_is_refused_when_it_is_loaded() -> None:
    node = {
        "kind": "auth",
        "name": "n",
        "env": {"KEY": {"name": "key"}},
        "jwt": spec(keys=["{{ .KEY }}"]),
    }
    values = [{"name": "key", "data": "short"}]
    with Runtime("memory://", specs=[node], values=values) as runtime:
        (status,) = runtime.status()
        assert "at least 32 bytes" in str(status)
