"""The fields of `auth`.

Lives here: what may be written in its spec, and what is wrong with it beyond types. What it means
is keys.py's, tokens.py's and signatures.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from greenflow.errors import SpecFault
from greenflow.net.grammar import is_token
from greenflow.net.url import parse_url
from greenflow.spec.fields import Code, Duration, Spec

#: Of JSON Web Algorithms (RFC 7518 3.1, RFC 8037 3.1), those of a shared secret, and those whose
#: keys are public. A spec names some of one sort: who may choose between the two can sign with a
#: public key as the secret.
SHARED = ("HS256", "HS384", "HS512")
PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

#: Bytes of the shortest secret of HS256; of the others their hash's size (RFC 7518 3.2).
SHORTEST = {"HS256": 32, "HS384": 48, "HS512": 64}

_SHA256 = re.compile(r"[0-9a-f]{64}")


class KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key, and who has it."""

    name: Annotated[str, Meta(min_length=1, description="who has it")]
    key: Annotated[str | None, Meta(description="the key itself, from a value: {{ .KEY }}")] = None
    sha256: Annotated[
        str | None, Meta(description="its SHA-256 in hexadecimal, in place of the key")
    ] = None
    scopes: Annotated[list[str], Meta(description="what it may, for `require`")] = []

    def __repr__(self) -> str:
        return f"<KeyEntry of {self.name}>"


class KeysSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys that a client sends as `Authorization: Bearer KEY`."""

    keys: Annotated[list[KeyEntry], Meta(min_length=1, description="all keys that are good")]


class ApiKeySpec(KeysSpec, frozen=True, forbid_unknown_fields=True):
    """Keys that a client sends in a header of its own."""

    header: Annotated[str, Meta(description="the header that has the key")] = "X-Api-Key"


class UserEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user of basic authentication."""

    name: Annotated[str, Meta(min_length=1, pattern="^[^:]*$", description="without a colon")]
    password: Annotated[str, Meta(min_length=1, description="from a value: {{ .KEY }}")]
    scopes: Annotated[list[str], Meta(description="what the user may, for `require`")] = []

    def __repr__(self) -> str:
        return f"<UserEntry {self.name}>"


class BasicSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names and passwords (RFC 7617)."""

    users: Annotated[list[UserEntry], Meta(min_length=1, description="who may come in")]


class JwtSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens that somebody else has signed (RFC 7519, RFC 8725)."""

    algorithms: Annotated[
        list[str], Meta(min_length=1, description="allowed ones: of HS..., or of RS, PS, ES, EdDSA")
    ]
    issuer: Annotated[str, Meta(min_length=1, description="`iss` that a token must have")]
    audience: Annotated[
        list[str], Meta(min_length=1, description="of which a token must have one as `aud`")
    ]
    keys: Annotated[
        list[str], Meta(description="secrets, or public keys as PEM; each is tried")
    ] = []
    jwks: Annotated[str | None, Meta(description="URL of the keys of who signs, https")] = None
    leeway: Annotated[Duration, Meta(description="how far clocks may differ")] = 30.0

    def __repr__(self) -> str:
        return "<JwtSpec>"


class SignatureSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Webhooks whose bodies are signed with a shared secret (HMAC, RFC 2104)."""

    secrets: Annotated[
        list[str], Meta(min_length=1, description="each may have signed; from values: {{ .KEY }}")
    ]
    preset: Annotated[
        Literal["standard-webhooks", "github", "stripe", "slack"] | None,
        Meta(description="who signs so"),
    ] = None
    header: Annotated[str | None, Meta(description="without a preset: where it is")] = None
    prefix: Annotated[str, Meta(description="what the signature begins with, as sha256=")] = ""
    encoding: Annotated[
        Literal["hex", "base64"], Meta(description="how the signature is written")
    ] = "hex"
    algorithm: Annotated[
        Literal["sha256", "sha384", "sha512", "sha1"], Meta(description="the hash of the HMAC")
    ] = "sha256"
    timestamp: Annotated[
        str | None,
        Meta(description="header with the seconds since 1970; `TIME.BODY` is signed then"),
    ] = None
    tolerance: Annotated[
        Duration, Meta(description="how old or how far ahead a timestamp may be")
    ] = 300.0

    def __repr__(self) -> str:
        return f"<SignatureSpec {self.preset or self.header}>"


class AuthSpec(Spec):
    bearer: Annotated[KeysSpec | None, Meta(description="keys in Authorization")] = None
    api_key: Annotated[ApiKeySpec | None, Meta(description="keys in another header")] = None
    basic: Annotated[BasicSpec | None, Meta(description="names and passwords")] = None
    jwt: Annotated[JwtSpec | None, Meta(description="tokens in Authorization")] = None
    signature: Annotated[SignatureSpec | None, Meta(description="a signed body")] = None
    realm: Annotated[
        str, Meta(pattern='^[^"\\\\\\x00-\\x1f]*$', description="what a client is told it is for")
    ] = "api"
    require: Annotated[
        Code | None,
        Meta(description="CEL on the request with its `identity`; false is a 403"),
    ] = None


def faults_of(spec: AuthSpec) -> Iterator[SpecFault]:
    """What is wrong beyond types."""
    ways = [way for way in ("bearer", "api_key", "basic", "jwt", "signature") if getattr(spec, way)]
    if not ways:
        yield SpecFault("$", "who may come in? say bearer, api_key, basic, jwt or signature")
    if spec.signature is not None and len(ways) > 1:
        yield SpecFault("$.signature", "stands alone: a webhook has nothing else to show")
    if spec.bearer is not None and spec.jwt is not None:
        yield SpecFault("$.jwt", "`bearer` is in the same header: one of the two, or two nodes")
    for way, keys in (("bearer", spec.bearer), ("api_key", spec.api_key)):
        for i, entry in enumerate([] if keys is None else keys.keys):
            yield from _faults_of_key(f"$.{way}.keys[{i}]", entry)
    if spec.api_key is not None and not is_token(spec.api_key.header):
        yield SpecFault("$.api_key.header", "no name of a header")
    if spec.jwt is not None:
        yield from _faults_of_jwt(spec.jwt)
    if spec.signature is not None:
        yield from _faults_of_signature(spec.signature)


def _faults_of_key(path: str, entry: KeyEntry) -> Iterator[SpecFault]:
    if (entry.key is None) == (entry.sha256 is None):
        yield SpecFault(path, "say either `key` or `sha256`")
    if entry.key == "":
        yield SpecFault(f"{path}.key", "empty: everybody would have it")
    if entry.sha256 is not None and not _SHA256.fullmatch(entry.sha256):
        yield SpecFault(f"{path}.sha256", "no SHA-256: 64 of 0-9 and a-f")


def _faults_of_jwt(jwt: JwtSpec) -> Iterator[SpecFault]:
    for i, name in enumerate(jwt.algorithms):
        if name not in SHARED and name not in PUBLIC:
            known = ", ".join((*SHARED, *PUBLIC))
            yield SpecFault(
                f"$.jwt.algorithms[{i}]", f"{name!r} is not allowed; allowed are {known}"
            )
    shared = [name in SHARED for name in jwt.algorithms]
    if any(shared) and not all(shared):
        yield SpecFault(
            "$.jwt.algorithms", "HS... beside others: a public key would be a good secret then"
        )
    if bool(jwt.keys) == (jwt.jwks is not None):
        yield SpecFault("$.jwt", "say either `keys` or `jwks`")
    if jwt.jwks is not None:
        if any(shared):
            yield SpecFault("$.jwt.jwks", "secrets are not published: HS... takes `keys`")
        try:
            if parse_url(jwt.jwks).scheme not in ("https", "http") or not parse_url(jwt.jwks).host:
                raise ValueError("an https:// URL")
        except ValueError as error:
            yield SpecFault("$.jwt.jwks", str(error))
    least = max((SHORTEST.get(name, 0) for name in jwt.algorithms), default=0)
    for i, key in enumerate(jwt.keys):
        path = f"$.jwt.keys[{i}]"
        is_pem = key.lstrip().startswith("-----BEGIN")
        if any(shared) and is_pem:
            yield SpecFault(path, "a public key is no secret")
        elif any(shared) and "{{" not in key and len(key.encode()) < least:
            yield SpecFault(path, f"a secret has at least {least} bytes (RFC 7518 3.2)")
        elif shared and not any(shared) and "{{" not in key and not is_pem:
            yield SpecFault(path, "no public key in PEM")


def _faults_of_signature(signature: SignatureSpec) -> Iterator[SpecFault]:
    if (signature.preset is None) == (signature.header is None):
        yield SpecFault("$.signature", "say either `preset` or `header`")
    for name in ("header", "timestamp"):
        header = getattr(signature, name)
        if header is not None and not is_token(header):
            yield SpecFault(f"$.signature.{name}", "no name of a header")
    if signature.preset is not None and signature.timestamp is not None:
        yield SpecFault("$.signature.timestamp", "the preset says it")
    for i, secret in enumerate(signature.secrets):
        if not secret:
            yield SpecFault(f"$.signature.secrets[{i}]", "empty: everybody could sign")
