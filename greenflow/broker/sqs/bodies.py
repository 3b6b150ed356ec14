"""What a message looks like at SQS, and how many a request takes.

A body is text: JSON travels as it is, all else in base64. The attribute `type` is the content type;
a message without it is JSON, as other programs write it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator
from typing import Any

from greenflow.broker import transport
from greenflow.broker.transport import LETTER_BYTES, Message, Posting
from greenflow.broker.wire import JSON

TYPE = "type"

BATCH = 10  # the server's limit of messages in a request

# Bytes, the limit of what a message or a batch takes at any such server, attributes included.
MAX_BYTES = 262_144
ATTRIBUTES = 1024  # bytes that are left for the attributes of a message


class Tag:
    """A message at the server, and how it is answered: by what its last delivery says."""

    def __init__(self, number: str, receipt: str) -> None:
        self.number, self.receipt = number, receipt

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tag) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)


def batches(postings: list[Posting]) -> Iterator[list[Posting]]:
    """As many together as a request takes."""
    batch: list[Posting] = []
    size = 0
    for posting in postings:
        more = size_of(posting)
        if batch and (len(batch) == BATCH or size + more > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(posting)
        size += more
    if batch:
        yield batch


def size_of(posting: Posting) -> int:
    """Bytes at the server, at most."""
    body = len(posting.body)
    return ATTRIBUTES + (body if posting.content_type == JSON else (body + 2) // 3 * 4)


def too_large(posting: Posting) -> str:
    """Why it cannot be published, if so. A dead letter has more room than the event in it."""
    most = MAX_BYTES - (LETTER_BYTES if posting.queue is None else 0)
    if size_of(posting) <= most:
        return ""
    return transport.too_large(len(posting.body), (most - ATTRIBUTES) // 4 * 3, "SQS")


def text(posting: Posting) -> str:
    """The body at the server."""
    if posting.content_type == JSON:
        return posting.body.decode("utf-8", "replace")
    return base64.b64encode(posting.body).decode()


def read(received: dict[str, Any]) -> Message:
    """A message that the server handed over."""
    kind = received.get("MessageAttributes", {}).get(TYPE, {}).get("StringValue", JSON)
    body = str(received.get("Body", "")).encode("utf-8", "replace")
    if kind.partition(";")[0].strip().lower() != JSON:
        # What is no base64 stays as it is: the subscriber finds out what it is, and says so.
        with contextlib.suppress(binascii.Error):
            body = base64.b64decode(body, validate=True)
    tag = Tag(received["MessageId"], received["ReceiptHandle"])
    count = int(received.get("Attributes", {}).get("ApproximateReceiveCount", "1"))
    return Message(tag, body, kind, count)
