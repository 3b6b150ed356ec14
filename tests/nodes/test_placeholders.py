"""A text with `{{ .KEY }}` is a placeholder where the spec has `env`; else it is what it is."""

from __future__ import annotations

from typing import Any

import pytest

from greenflow.errors import SpecInvalid
from greenflow.scheme.registry import Scheme

X = "{{ .X }}"
ENV = {"X": {"name": "value"}}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"kind": "cache", "interval": X}, "$.interval"),
        ({"kind": "gateway", "origins": [X]}, "$.origins[0]"),
        ({"kind": "http", "url": X}, "$.url"),
        ({"kind": "http", "url": f"https://{X}/"}, "$.url"),
        ({"kind": "http", "proxy": X}, "$.proxy"),
        ({"kind": "listener", "port": X}, "$.port"),
        ({"kind": "listener", "port": 1, "cors": {"origins": [X]}}, "$.cors.origins[0]"),
        ({"kind": "listener", "port": 1, "proxies": [X]}, "$.proxies[0]"),
        ({"kind": "python", "call": X}, "$.call"),
        ({"kind": "schedule", "cron": X}, "$.cron"),
        ({"kind": "sleep", "interval": X}, "$.interval"),
        ({"kind": "snippet", "language": X, "code": "1"}, "$.language"),
        ({"kind": "snippet", "language": "cel", "code": X}, "$.code"),
        ({"kind": "sql", "source": X}, "$.source"),
        ({"kind": "sql", "source": "f.db", "driver": X}, "$.source"),
        ({"kind": "sql", "source": "sqlite:///f.db", "isolation": X}, "$.isolation"),
        ({"kind": "switch", "matches": [{"when": X, "port": "out[0]"}]}, "$.matches[0].when"),
        ({"kind": "websocket", "url": X}, "$.url"),
        ({"kind": "websocket", "url": f"wss://{X}/"}, "$.url"),
        ({"kind": "websocket", "subprotocols": [X]}, "$.subprotocols[0]"),
        ({"kind": "wsgi", "app": X}, "$.app"),
    ],
)
def test_without_env_a_text_is_checked_as_it_stands(document: dict[str, Any], path: str) -> None:
    scheme = Scheme.installed()
    with pytest.raises(SpecInvalid) as raised:
        scheme.validate(document, "default")
    assert path in {fault.path for fault in raised.value.faults}
    scheme.validate({**document, "env": ENV}, "default")


@pytest.mark.parametrize("url", ["{{x}}", "{{ .X", "{{.X}} {{"])
def test_what_is_no_placeholder_is_checked_beside_env_too(url: str) -> None:
    """Text that stands for nothing is left as it is; it is looked at once all else is known."""
    scheme = Scheme.installed()
    document = {"kind": "websocket", "url": url}
    with pytest.raises(SpecInvalid):
        scheme.validate(document, "default")
    if "{{.X}}" not in url:
        with pytest.raises(SpecInvalid):
            scheme.validate({**document, "env": ENV}, "default")
