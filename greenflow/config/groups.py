"""The groups of settings: each field with its default, its limits and what it is for.

Lives here: a class for each group, `[listener]` in greenflow.toml. Not here: the settings without a
group and what may be asked of all of them (__init__.py), and what a setting does.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from greenflow.config.marks import DURATION, HOSTS, SECRETS, TEXTS


class ListenerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What listeners do unless their spec says otherwise."""

    host: Annotated[
        str,
        Meta(min_length=1, description="address that listeners open unless their spec names one"),
    ] = "127.0.0.1"


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where `http` and `websocket` nodes may go."""

    allow: Annotated[
        list[str],
        Meta(
            extra=HOSTS,
            description="what a payload or a redirect may name for http and websocket nodes "
            "though it is not public: hosts, addresses, networks; private, loopback, link-local",
        ),
    ] = []


class BrokerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What carries the events of `trigger` nodes, and how often a failed one is delivered."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            description="what carries events: memory://, amqp://, redis:// or mongodb://HOST..., "
            "sqs://REGION",
        ),
    ] = "memory://"
    prefetch: Annotated[
        int,
        Meta(ge=1, le=10_000, description="messages that a trigger works on at a time"),
    ] = 32
    deliveries: Annotated[
        int,
        Meta(ge=1, description="how often a message is delivered before it is a dead letter"),
    ] = 5
    backoff: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="time before a message is delivered a second time; doubled each time",
        ),
    ] = 1.0
    backoff_most: Annotated[
        float, Meta(extra=DURATION, description="time between two deliveries, at most")
    ] = 60.0
    dead_letters: Annotated[
        str, Meta(min_length=1, description="topic of messages that nobody could process")
    ] = "dead"
    visibility: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="time after which others get the messages of a runtime that says nothing "
            "(redis, mongodb, sqs)",
        ),
    ] = 30.0
    timeout: Annotated[
        float,
        Meta(extra=DURATION, description="time in which a message must have been published"),
    ] = 5.0
    held: Annotated[
        int,
        Meta(ge=0, description="bytes of events that a process may publish before it commits"),
    ] = 16 * 1024 * 1024
    waiting: Annotated[
        int,
        Meta(ge=0, description="bytes of events that may wait for a trigger (memory)"),
    ] = 64 * 1024 * 1024
    expires: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="time for which messages wait when no runtime takes them; 0 for ever",
        ),
    ] = 604_800.0


class ProcessSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How much one event, request or run may do, with all that it begins; more is an error."""

    packets: Annotated[int, Meta(ge=1, description="packets handled for one process, in all")] = (
        10_000_000
    )
    children: Annotated[
        int, Meta(ge=1, description="children of one process, and theirs, at a time")
    ] = 10_000
    open: Annotated[int, Meta(ge=1, description="packets of one process that are unanswered")] = (
        100_000
    )


class SyscallSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the opcodes of syscall nodes may reach."""

    namespace: Annotated[
        str | None,
        Meta(description="namespace that nodes.read and nodes.delete see; * for all, default: own"),
    ] = None


class JavaScriptSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The OS processes that run JavaScript and TypeScript, and what a call may take there."""

    workers: Annotated[
        int, Meta(ge=1, le=1024, description="OS processes that run JavaScript; started when used")
    ] = 2
    timeout: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="how long a call may take unless its node says otherwise, as 1 or 500ms",
        ),
    ] = 1.0
    memory_mib: Annotated[
        int, Meta(ge=16, le=65536, description="memory that a call may take, in MiB")
    ] = 128


class ValuesSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How values are kept."""

    key: Annotated[
        list[str],
        Meta(
            extra=SECRETS,
            description="encrypts the data of stored values: 32 bytes in base64; of several keys "
            "the first encrypts, and each decrypts",
        ),
    ] = []


class LintSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How bad each rule of `greenflow lint` is, if not as bad as it says itself."""

    error: Annotated[list[str], Meta(extra=TEXTS, description="rules of lint that are errors")] = []
    warning: Annotated[
        list[str], Meta(extra=TEXTS, description="rules of lint that are warnings")
    ] = []
    info: Annotated[list[str], Meta(extra=TEXTS, description="rules of lint that are hints")] = []
    off: Annotated[
        list[str], Meta(extra=TEXTS, description="rules of lint that are not looked at")
    ] = []


class HistorySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How long the changes of what is stored are remembered: as long as either says."""

    keep: Annotated[
        int, Meta(ge=1, description="newest changes of a namespace that are remembered")
    ] = 1000
    days: Annotated[float, Meta(ge=0, description="days for which every change is remembered")] = (
        90.0
    )


class RecordsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of processes that have ended: of those that failed, of the slowest of each
    minute, and of a sample."""

    memory: Annotated[int, Meta(ge=0, description="records in memory, the newest; 0 for none")] = (
        1000
    )
    memory_bytes: Annotated[
        int, Meta(ge=0, description="bytes that records in memory take, at the most")
    ] = 64 * 1024 * 1024
    sample: Annotated[
        float,
        Meta(ge=0, le=1, description="part of all processes that is recorded however it ends"),
    ] = 0.001
    rate: Annotated[
        int, Meta(ge=1, le=1000, description="records made in a second; more are only counted")
    ] = 20
    store: Annotated[
        str,
        Meta(description="where records outlive the engine: sqlite:///PATH or mongodb://HOST/NAME"),
    ] = ""
    store_days: Annotated[
        float, Meta(ge=0, description="days for which records are kept there")
    ] = 7.0
    store_bytes: Annotated[
        int, Meta(ge=0, description="bytes of records that are kept there, the newest")
    ] = 1024 * 1024 * 1024


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What goes to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least level logged")
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(description="text, json, or auto: text on a terminal, else json"),
    ] = "auto"
    access: Annotated[
        str | None,
        Meta(
            description="file that gets a line for each answered request, or - for standard output"
        ),
    ] = None
    access_format: Annotated[
        Literal["json", "combined"],
        Meta(description="form of those lines: JSON, or the combined format of Apache and nginx"),
    ] = "json"


class TracingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests, events and runs are traced, and who gets the traces."""

    to: Annotated[
        str,
        Meta(
            pattern="^(|program|https?://.+)$",
            description="who gets traces: URL of a collector that takes OTLP over HTTP, as "
            "http://localhost:4318; program: whatever OpenTelemetry the program has set up",
        ),
    ] = ""
    sampled: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share that is traced of those whose caller does not say: 0.01 is one of "
            "a hundred",
        ),
    ] = 0.01
    service: Annotated[
        str, Meta(min_length=1, description="what traces call this service (service.name)")
    ] = "greenflow"
