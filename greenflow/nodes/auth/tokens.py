"""Tokens that somebody else has signed (RFC 7519, with the advice of RFC 8725).

Lives here: Tokens, and PublishedKeys, those that an issuer publishes (RFC 7517). Signatures are
PyJWT's matter, which comes with the extra `auth`.

Of a token's header only `alg` and `kid` are looked at: what else may stand there (`jwk`, `jku`,
`x5u`) would let the token say which key it is good by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import msgspec
from gevent.lock import RLock

from greenflow.errors import GreenflowError
from greenflow.net.outgoing import ClientRequest, ClientResponse
from greenflow.net.url import parse_url
from greenflow.nodes.auth.identity import CallerIdentity, Refused
from greenflow.nodes.auth.spec import PUBLIC, JwtSpec
from greenflow.payload.value import adopt

#: Characters of the longest token that is looked at; servers take headers of 8 to 16 KiB.
LONGEST = 16 * 1024

#: Seconds for which published keys are good; between two fetches for a key that is not among them,
#: and after one that failed; and that one may take.
KEPT, PAUSE, TIMEOUT = 300.0, 30.0, 10.0

#: Bytes of a set of keys: some have dozens, with certificates.
MOST_BYTES = 1 << 20

Exchange = Callable[[ClientRequest, float, int], ClientResponse]


class PublishedKeys:
    """The keys that an issuer publishes. What was fetched last is good until there is better."""

    def __init__(self, url: str, exchange: Exchange) -> None:
        self._url, self._exchange = parse_url(url), exchange
        self._keys: dict[str | None, list[Any]] = {}
        self._fetched = self._tried = float("-inf")  # monotonic(), of the last that came, and try
        self._fetching = RLock()

    def of(self, kid: str | None) -> Sequence[Any]:
        """The keys of that name; of a token that names none, those of a set of one. Raises
        Refused."""
        if monotonic() - self._fetched > KEPT or not self._known(kid):
            self._fetch(kid)
        keys = self._known(kid)
        if not keys:
            if not self._keys:
                raise Refused("the keys of the issuer cannot be had", 503)
            raise Refused("the token is signed with a key that is not known", error="invalid_token")
        return keys

    def _known(self, kid: str | None) -> list[Any]:
        if kid is not None:
            return self._keys.get(kid, [])
        every = [key for keys in self._keys.values() for key in keys]
        return every if len(every) == 1 else []

    def _fetch(self, kid: str | None) -> None:
        """Fetch them, unless somebody else just did."""
        asked = monotonic()
        with self._fetching:
            fresh = monotonic() - self._fetched <= KEPT
            if (
                (fresh and self._known(kid))
                or self._tried > asked
                or monotonic() - self._tried < PAUSE
            ):
                return
            self._tried = monotonic()
            try:
                keys = _read(
                    self._exchange(ClientRequest("GET", self._url, {}), TIMEOUT, MOST_BYTES)
                )
            except GreenflowError:
                return  # the old ones stay; where there are none `of` says so
            self._keys, self._fetched = keys, monotonic()


def _read(response: ClientResponse) -> dict[str | None, list[Any]]:
    """The keys of an answer by their names. Raises GreenflowError."""
    from jwt import PyJWK, PyJWTError

    if response.status != 200 or not isinstance(response.body, bytes):
        raise GreenflowError(f"the issuer answered {response.status}")
    try:
        entries = msgspec.json.decode(response.body, type=dict[str, Any])["keys"]
        if type(entries) is not list:
            raise ValueError("`keys` is no list")
    except (KeyError, ValueError, msgspec.DecodeError) as error:
        raise GreenflowError(f"the issuer answered no keys: {error}") from None
    keys: dict[str | None, list[Any]] = {}
    for entry in entries:
        if type(entry) is not dict or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue  # a secret that is published is none
        if entry.get("use", "sig") != "sig" or entry.get("alg", PUBLIC[0]) not in PUBLIC:
            continue
        try:
            key = PyJWK(entry)
        except PyJWTError:
            continue  # of a curve that is not known, say
        kid = entry.get("kid")
        keys.setdefault(kid if type(kid) is str else None, []).append(key)
    return keys


class Tokens:
    """Tells who asks by a token."""

    def __init__(self, spec: JwtSpec, published: PublishedKeys | None) -> None:
        self._spec, self._published = spec, published

    def identify(self, token: str) -> CallerIdentity:
        """Who has the token. Raises Refused."""
        from jwt import PyJWTError, get_unverified_header

        if len(token) > LONGEST:
            raise Refused("the token is too long", error="invalid_token")
        try:
            header = get_unverified_header(token)
        except PyJWTError:
            raise Refused("that is no token", error="invalid_token") from None
        if header.get("alg") not in self._spec.algorithms:
            raise Refused("the token is signed in a way that is not allowed", error="invalid_token")
        kid = header.get("kid")
        keys: Sequence[Any] = self._spec.keys
        if self._published is not None:
            keys = self._published.of(kid if type(kid) is str else None)
        claims = self._claims(token, keys)
        subject = claims.get("sub")
        return CallerIdentity(
            subject if type(subject) is str else "", "jwt", _scopes(claims), claims
        )

    def _claims(self, token: str, keys: Sequence[Any]) -> dict[str, Any]:
        import jwt

        reason = "the signature of the token is wrong"
        for key in keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key,
                    algorithms=self._spec.algorithms,
                    audience=self._spec.audience,
                    issuer=self._spec.issuer,
                    leeway=self._spec.leeway,
                    options={"require": ["exp", "iss", "aud"]},
                )
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError):
                continue
            except jwt.ExpiredSignatureError:
                reason = "the token has expired"
            except jwt.ImmatureSignatureError:
                reason = "the token is not good yet"
            except jwt.InvalidAudienceError:
                reason = "the token is for somebody else"
            except jwt.InvalidIssuerError:
                reason = "the token is of another issuer"
            except jwt.MissingRequiredClaimError as error:
                reason = f"the token says no {error.claim!r}"
            except jwt.PyJWTError:
                reason = "the token is not good"
            else:
                return adopt(claims)  # type: ignore[no-any-return]
            break
        raise Refused(reason, error="invalid_token")


def _scopes(claims: dict[str, Any]) -> list[str]:
    """What the token allows: `scope`, words in a text (RFC 8693 4.2), or a list that some write."""
    said = claims.get("scope", claims.get("scp"))
    if type(said) is str:
        return said.split()
    if type(said) is list:
        return [each for each in said if type(each) is str]
    return []
