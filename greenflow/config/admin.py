"""The settings of the admin interface (greenflow.admin)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from greenflow.config.marks import DURATION, SECRETS, TEXTS


class AdminSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a running engine can be asked what it does, and who may."""

    address: Annotated[
        str,
        Meta(
            min_length=1,
            description="admin interface of `run`: auto (a Unix socket of this user), none, "
            "unix:PATH or HOST:PORT",
        ),
    ] = "auto"
    name: Annotated[
        str | None,
        Meta(description="what commands call the engine, default: the namespace"),
    ] = None
    token: Annotated[
        list[str],
        Meta(
            extra=SECRETS,
            description="texts of which the admin interface asks one, but for its Unix socket",
        ),
    ] = []
    hosts: Annotated[
        list[str],
        Meta(extra=TEXTS, description="names by which clients may call the admin interface"),
    ] = []
    tls_cert: Annotated[
        str | None, Meta(description="file of the certificate of HOST:PORT, with its chain")
    ] = None
    tls_key: Annotated[str | None, Meta(description="file of its private key")] = None
    delay: Annotated[
        float,
        Meta(
            extra=DURATION,
            description="time between not being ready and the end of listening, when told to end",
        ),
    ] = 0.0
