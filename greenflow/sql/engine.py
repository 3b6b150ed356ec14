"""The engine of SQLAlchemy's that a source means.

Lives here: `engine`. SQLAlchemy (extra `sql`) finds the driver, connects, sets the isolation and
knows lost connections; what is done with a connection is server.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenflow.errors import CompileFailed
from greenflow.extras import install
from greenflow.sql.source import ServerSource

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

# Drivers that take any number of seconds to connect, and what they call it.
_CONNECT_TIMEOUT = {"psycopg": "connect_timeout", "psycopg2": "connect_timeout"}
_CONNECT_TIMEOUT |= {"pymysql": "connect_timeout", "pg8000": "timeout"}


def engine(source: ServerSource, isolation: str | None, timeout: float) -> Engine:
    """A new engine, for one connection: none is shared between threads. `timeout` is how many
    seconds connecting may take. Raises CompileFailed for what is not installed."""
    try:
        from sqlalchemy import URL, create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError
        from sqlalchemy.pool import NullPool
    except ImportError:
        raise CompileFailed(
            f"a {source.dialect} database needs SQLAlchemy: {install('sql')}"
        ) from None
    name = f"{source.dialect}+{source.driver}" if source.driver else source.dialect
    arguments: dict[str, Any] = {}
    if source.driver in _CONNECT_TIMEOUT:
        arguments[_CONNECT_TIMEOUT[source.driver]] = max(1, round(timeout))
    options: dict[str, Any] = {}
    if isolation is not None:
        options["isolation_level"] = isolation
    try:
        return create_engine(
            URL.create(name, **source.parts),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args=arguments,
            **options,
        )
    except NoSuchModuleError:
        raise CompileFailed(f"no dialect {name!r} of SQLAlchemy's is installed") from None
    except ImportError:
        package = {"psycopg": "psycopg[binary]"}.get(source.driver, source.driver or name)
        raise CompileFailed(
            f"the {source.dialect} database needs its driver: pip install '{package}'"
        ) from None
    except (ArgumentError, TypeError, ValueError) as error:
        raise CompileFailed(f"{source.name}: {type(error).__name__} in the source") from None
