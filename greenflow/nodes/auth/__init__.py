"""`auth`: who asks, and whether they may (BEHAVIOUR 22).

Lives here: the kind. Its fields are spec.py's, keys and passwords keys.py's, tokens tokens.py's,
signed webhooks signatures.py's, and who somebody is, with the answer to who is not let in,
identity.py's.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from greenflow import lang
from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.services import Compiler, Services
from greenflow.errors import CompileFailed, InvalidArgument, SpecFault
from greenflow.extras import reason
from greenflow.net.address import Allowed
from greenflow.net.message import canonical_name
from greenflow.net.url import parse_url
from greenflow.nodes.auth.identity import CallerIdentity, Refused, answer
from greenflow.nodes.auth.keys import Keyring, Users
from greenflow.nodes.auth.signatures import Signatures
from greenflow.nodes.auth.spec import AuthSpec, faults_of
from greenflow.nodes.auth.tokens import PublishedKeys, Tokens
from greenflow.nodes.condition import is_true
from greenflow.nodes.http import homes
from greenflow.nodes.refusals import tell_refused
from greenflow.nodes.request import Received
from greenflow.payload.stream import Stream

_log = logging.getLogger("greenflow.nodes.auth")


@node("auth", reads_only=True)
class Auth(Node[AuthSpec]):
    """Lets those through who may ask: by keys, passwords, tokens or signed bodies.

    Who it is stands in the payload as `identity`; keys and passwords are taken out of it. Others
    are answered 401 or 403, by `error` if that is linked.
    """

    waits = True

    def __init__(self, spec: AuthSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.reaches_outside = spec.jwt is not None and spec.jwt.jwks is not None
        self._require = None if spec.require is None else lang.compile("cel", spec.require)
        self._bearer = None if spec.bearer is None else Keyring(spec.bearer.keys, "bearer")
        self._api_key = None if spec.api_key is None else Keyring(spec.api_key.keys, "api_key")
        self._users = None if spec.basic is None else Users(spec.basic.users)
        self._signatures = None if spec.signature is None else Signatures(spec.signature)
        self._tokens: Tokens | None = None
        self._client: Any = None
        if spec.jwt is not None:
            try:
                import jwt  # noqa: F401 - so that its lack is said when the spec is loaded
            except ImportError as error:
                raise CompileFailed(reason(error)) from None
            if spec.jwt.jwks is None:
                self._tokens = Tokens(spec.jwt, None)

    @classmethod
    def check(cls, spec: AuthSpec, compiler: Compiler) -> list[SpecFault]:
        faults = list(faults_of(spec))
        if spec.require is not None:
            faults += lang.faults("cel", spec.require, "$.require")
        return faults

    def open(self) -> None:
        if self._signatures is not None:
            self.services.keeps_requests = True
        jwt = self.spec.jwt
        if jwt is None or jwt.jwks is None:
            return
        from greenflow.net.client import Client

        allowed = Allowed.of_setting(self.services.settings.http.allow)
        self._client = Client(homes(parse_url(jwt.jwks)), allowed)
        self._tokens = Tokens(jwt, PublishedKeys(jwt.jwks, self._client.exchange))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def handle(self, ctx: Context, payload: Any) -> Any:
        if isinstance(payload, Exception):
            raise payload
        if type(payload) is not dict or type(payload.get("header", {})) is not dict:
            raise InvalidArgument("auth takes a request, a map with a header")
        header = payload.get("header", {})
        try:
            if self._signatures is not None:
                identity, taken = self._signed(ctx, self._signatures, header), ""
                if identity is None:
                    return ctx.to("error", {"status": 200, "body": {"detail": "done before"}})
            else:
                identity, taken = self._known(header)
            said = payload | {"identity": identity.told()}
            if taken:
                said["header"] = {name: text for name, text in header.items() if name != taken}
            if self._require is not None and not is_true(self._require(said)):
                raise Refused("not allowed", 403, "insufficient_scope")
        except Refused as refused:
            self._tell(ctx, payload, refused)
            return ctx.to("error", answer(refused, self._challenges(refused)))
        return said

    def _known(self, header: dict[str, Any]) -> tuple[CallerIdentity, str]:
        """Who sent these headers, and which one has the key. Raises Refused."""
        if self._api_key is not None and self.spec.api_key is not None:
            name = canonical_name(self.spec.api_key.header)
            key = _one(header, name)
            if key is not None:
                return self._api_key.identify(key), name
        credentials = _one(header, "Authorization")
        if credentials is None:
            raise Refused("there are no credentials")
        scheme, _, rest = credentials.partition(" ")
        way: Keyring | Users | Tokens | None = None
        if scheme.lower() == "bearer":
            way = self._bearer or self._tokens
        elif scheme.lower() == "basic":
            way = self._users
        if way is None:
            raise Refused("there are no credentials of a kind that is taken")
        return way.identify(rest.strip(" ")), "Authorization"

    def _signed(
        self, ctx: Context, signatures: Signatures, header: dict[str, Any]
    ) -> CallerIdentity | None:
        """Who has signed the request; None if it was done before. Raises Refused."""
        received: Received | None = ctx.process.data.get(Received)
        if received is None or isinstance(received.request.body, Stream):
            raise InvalidArgument("a signature is of the bytes of a request, without `stream`")
        clock = self.services.clock
        signature = signatures.verify(partial(_one, header), received.request.body, clock.time())
        if not signatures.begin(signature, clock.monotonic()):
            return None
        ctx.process.owner.on_settled(partial(signatures.end, signature))
        return signatures.identity()

    def _challenges(self, refused: Refused) -> list[str]:
        """What a client may come in with (RFC 9110 11.6.1, RFC 6750 3, RFC 7617 2)."""
        if refused.status not in (401, 403):
            return []
        realm, challenges = self.spec.realm, []
        if self._bearer is not None or self.spec.jwt is not None:
            error = "" if refused.error is None else f', error="{refused.error}"'
            challenges.append(f'Bearer realm="{realm}"{error}')
        if self._users is not None and refused.status == 401:
            challenges.append(f'Basic realm="{realm}", charset="UTF-8"')
        if not challenges and refused.status == 401:  # there must be one; these two have no name
            challenges.append(f'{"ApiKey" if self._api_key else "Signature"} realm="{realm}"')
        return challenges

    def _tell(self, ctx: Context, request: dict[str, Any], refused: Refused) -> None:
        method, path = str(request.get("method")), str(request.get("path"))
        tell_refused(_log, self, method, path, refused.status, str(refused), process=ctx.process)


def _one(header: dict[str, Any], name: str) -> str | None:
    """The one value of a header. Raises Refused where there are several: servers differ in which of
    them counts."""
    values = header.get(name)
    if type(values) is str:
        return values
    if type(values) is not list or not values:
        return None
    if len(values) > 1 or type(values[0]) is not str:
        raise Refused(f"there is not one {name}")
    return values[0]
