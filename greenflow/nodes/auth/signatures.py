"""Signed webhooks: a body, perhaps with its time, and an HMAC of it.

Lives here: Signatures: what each preset signs and where it says so, how old it may be, and which
ones were there before. The bytes that count are those that came: decoded and written again they
are others.

| preset | signs | by |
|---|---|---|
| standard-webhooks | `ID.TIME.BODY` | Standard Webhooks 1.0 |
| github | the body | "Validating webhook deliveries" |
| stripe | `TIME.BODY` | "Verify webhook signatures manually" |
| slack | `v0:TIME:BODY` | "Verifying requests from Slack" |
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from greenflow.net.message import canonical_name
from greenflow.nodes.auth.identity import CallerIdentity, Refused
from greenflow.nodes.auth.spec import SignatureSpec

#: Signatures that are remembered, and for how many seconds where no time is signed: GitHub, which
#: signs none, says again what failed within three days.
MOST_SEEN, SEEN_SECONDS = 100_000, 3 * 24 * 60 * 60.0

# Signatures of one request that are looked at: providers send several while a secret is replaced.
MOST_SIGNATURES = 10

_WEBHOOK_SECRET = "whsec_"


class Signed(NamedTuple):
    """What a request claims: its signatures, what they are of, and when it was signed."""

    signatures: list[bytes]
    prefix: bytes  # before the body
    time: float | None


class SeenRequest(msgspec.Struct):
    """A request that was there: until when it is remembered, by monotonic time."""

    until: float
    is_done: bool = False


#: The one value of a header, or None.
Ask = Callable[[str], str | None]

Read = Callable[[Ask], Signed]


class Signatures:
    """Checks the requests of one sender."""

    def __init__(self, spec: SignatureSpec) -> None:
        self._spec, self._algorithm = spec, spec.algorithm
        self._read: Read = self._described
        if spec.preset is not None:
            self._algorithm = "sha256"
            self._read = _PRESETS[spec.preset]
        is_standard = spec.preset == "standard-webhooks"
        self._secrets = [_standard(each) if is_standard else each.encode() for each in spec.secrets]
        self._seen: OrderedDict[bytes, SeenRequest] = OrderedDict()
        self._name = spec.preset or "signature"

    def verify(self, header: Ask, body: bytes, time: float) -> bytes:
        """The signature of a request that is good at that time. Raises Refused."""
        signed = self._read(header)
        if signed.time is not None and not abs(time - signed.time) <= self._spec.tolerance:
            raise Refused("the timestamp is too old or too far ahead")
        good: bytes | None = None
        for secret in self._secrets:
            mac = hmac.new(secret, signed.prefix + body, self._algorithm).digest()
            for signature in signed.signatures[:MOST_SIGNATURES]:
                if hmac.compare_digest(mac, signature):
                    good = mac
        if good is None:
            raise Refused("the signature is wrong")
        return good

    def begin(self, signature: bytes, now: float) -> bool:
        """Work on a request begins; False if it was done before. Raises Refused while it is under
        way."""
        while self._seen and (
            len(self._seen) >= MOST_SEEN or next(iter(self._seen.values())).until < now
        ):
            self._seen.popitem(last=False)
        before = self._seen.get(signature)
        if before is not None:
            if not before.is_done:
                raise Refused("it is under way", 409)
            return False
        timed = self._spec.preset not in (None, "github") or self._spec.timestamp is not None
        until = now + (2 * self._spec.tolerance if timed else SEEN_SECONDS)
        self._seen[signature] = SeenRequest(until)
        return True

    def end(self, signature: bytes, error: BaseException | None) -> None:
        """The work is done; if it failed, the sender may try again."""
        if error is not None:
            self._seen.pop(signature, None)
        elif signature in self._seen:
            self._seen[signature].is_done = True

    def identity(self) -> CallerIdentity:
        """Who has signed."""
        return CallerIdentity(self._name, "signature", [])

    def _described(self, header: Ask) -> Signed:
        spec = self._spec
        assert spec.header is not None
        text = _of(header, spec.header)
        if not text.startswith(spec.prefix):
            raise Refused("the signature is not written as it should be")
        text = text.removeprefix(spec.prefix)
        signature = _hex(text) if spec.encoding == "hex" else _base64(text)
        if spec.timestamp is None:
            return Signed([signature], b"", None)
        stamp = _of(header, spec.timestamp)
        return Signed([signature], f"{stamp}.".encode(), _seconds(stamp))


def _of(header: Ask, name: str) -> str:
    text = header(canonical_name(name))
    if text is None:
        raise Refused(f"there is no {name}")
    return text


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Refused("the timestamp is no number of seconds")
    return float(text)


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise Refused("the signature is not hexadecimal") from None


def _base64(text: str) -> bytes:
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise Refused("the signature is not base64") from None


def _standard(secret: str) -> bytes:
    try:
        return b64decode(secret.removeprefix(_WEBHOOK_SECRET), validate=True)
    except ValueError:
        return secret.encode()


def _standard_webhooks(header: Ask) -> Signed:
    id, stamp = _of(header, "Webhook-Id"), _of(header, "Webhook-Timestamp")
    each = (part.partition(",") for part in _of(header, "Webhook-Signature").split(" "))
    signatures = [_base64(text) for name, _, text in each if name == "v1"]
    return Signed(signatures, f"{id}.{stamp}.".encode(), _seconds(stamp))


def _github(header: Ask) -> Signed:
    text = _of(header, "X-Hub-Signature-256")
    if not text.startswith("sha256="):
        raise Refused("the signature is not written as it should be")
    return Signed([_hex(text.removeprefix("sha256="))], b"", None)


def _stripe(header: Ask) -> Signed:
    pairs = [part.strip().partition("=") for part in _of(header, "Stripe-Signature").split(",")]
    stamps = [text for name, _, text in pairs if name == "t"]
    if len(stamps) != 1:
        raise Refused("there is not one timestamp")
    signatures = [_hex(text) for name, _, text in pairs if name == "v1"]
    return Signed(signatures, f"{stamps[0]}.".encode(), _seconds(stamps[0]))


def _slack(header: Ask) -> Signed:
    stamp, text = _of(header, "X-Slack-Request-Timestamp"), _of(header, "X-Slack-Signature")
    if not text.startswith("v0="):
        raise Refused("the signature is not written as it should be")
    return Signed([_hex(text.removeprefix("v0="))], f"v0:{stamp}:".encode(), _seconds(stamp))


_PRESETS: dict[str, Read] = {
    "standard-webhooks": _standard_webhooks,
    "github": _github,
    "stripe": _stripe,
    "slack": _slack,
}
