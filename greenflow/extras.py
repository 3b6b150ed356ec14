"""What not everybody needs is an extra: which package is of which, and how to get one.

Lives here: the words of every message about a package that is missing, so that all say what to do.
Who imports such a package late catches its ImportError, and raises what its caller is to see.
Nothing of greenflow is imported.
"""

from __future__ import annotations

# What is imported, and the extra of setup.cfg that brings it.
EXTRAS = {
    "amqp": "broker",
    "backports": "compression",
    "botocore": "broker",
    "brotli": "compression",
    "cryptography": "secrets",
    "redis": "broker",
    "jsonschema_rs": "validate",
    "jwt": "auth",
    "opentelemetry": "tracing",
    "sqlalchemy": "sql",
}


def install(extra: str) -> str:
    """The command that brings an extra."""
    return f"pip install 'greenflow[{extra}]'"


def reason(error: ImportError, extra: str | None = None) -> str:
    """Why something cannot be imported, and the command that mends it, if an extra does: that of
    the package that is missing, or the one given."""
    extra = EXTRAS.get((error.name or "").partition(".")[0], extra)
    return str(error) if extra is None else f"{error}; {install(extra)}"
