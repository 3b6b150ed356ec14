"""The URL of an SQS broker, and the names of its queues.

A queue is `greenflow--NAMESPACE--TOPIC--SUBSCRIBER`, that of the dead letters
`greenflow--NAMESPACE--TOPIC`: the queues of a topic have a prefix that those of no other have. The
server takes 80 letters, digits, `-` and `_`; a part that has others, is too long, or could be taken
for two is cut, and ends with a hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from greenflow.broker.transport import Queue
from greenflow.errors import BrokerMisconfigured
from greenflow.log.redactor import redact_url

BEGIN, SEPARATOR, HASHED = "greenflow", "--", "__"

# Letters of a part: 3 of them, what they begin with and 3 separators are 78.
MOST = 21
HASH = 12  # letters of base32, 60 bits

_PLAIN = re.compile(rf"(?!-)(?:(?!--|__)[A-Za-z0-9_-]){{1,{MOST}}}(?<!-)")

HOW = "write sqs://REGION, KEY:SECRET@ before the region, ?endpoint=URL after it"


class Account(NamedTuple):
    """Where the server is, and who we are there: None for what the client finds out by itself."""

    region: str
    endpoint: str | None
    key: str | None
    secret: str | None


def parse(url: str) -> Account:
    """The parts of a URL. Raises BrokerMisconfigured, without secrets."""

    def wrong(why: str) -> BrokerMisconfigured:
        return BrokerMisconfigured(f"{redact_url(url)}: {why}; {HOW}")

    rest, _, query = url.partition("://")[2].partition("?")
    # The last one: a secret may have slashes, which nobody encodes.
    user, at, region = rest.rpartition("@")
    key, _, secret = user.partition(":")
    if at and not (key and secret):
        raise wrong("a key goes with its secret")
    region = region.rstrip("/")
    if not re.fullmatch(r"[A-Za-z0-9-]+", region):
        raise wrong("there is no region, as eu-central-1")
    options = dict(parse_qsl(query, keep_blank_values=True))
    endpoint = options.pop("endpoint", None)
    if options:
        raise wrong(f"unknown: {', '.join(sorted(options))}")
    if endpoint is not None and not _is_http(endpoint):
        raise wrong("the endpoint is no URL with http:// or https://")
    return Account(region, endpoint, unquote(key) or None, unquote(secret) or None)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def part(text: str) -> str:
    """The text as part of a name, one-to-one but for chance."""
    if _PLAIN.fullmatch(text):
        return text
    digest = base64.b32encode(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    begin = re.sub(r"[^A-Za-z0-9]+", "", text)[: MOST - HASH - len(HASHED)]
    return f"{begin}{HASHED}{digest.decode().lower()[:HASH]}"


def prefix_of(namespace: str, topic: str) -> str:
    """What the names of the queues of a topic begin with, and no others."""
    return SEPARATOR.join((BEGIN, part(namespace), part(topic), ""))


def full_name(namespace: str, queue: Queue) -> str:
    """The name of a queue."""
    parts = [BEGIN, part(namespace), part(queue.topic)]
    if not queue.kept:
        parts.append(part(queue.subscriber))
    return SEPARATOR.join(parts)
