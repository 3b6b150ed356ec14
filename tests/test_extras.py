"""Whatever is missing says which command brings it, and nothing else is in the way."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest

from greenflow import Runtime, Settings
from greenflow.config import BrokerSettings
from greenflow.errors import EncodeError, GreenflowError, UnsupportedCoding, messages
from greenflow.extras import EXTRAS, install, reason
from greenflow.net.mime import coding
from greenflow.scheme.registry import Scheme

# Extras that are none of a user's: for working on greenflow itself.
OURS = {"bench", "lint", "test", "types"}

# Extras of before, whose packages are always there now.
EMPTY = {"metrics", "mongodb"}

# What is imported under another name than its package's.
PACKAGES = {
    "backports": "backports.zstd",
    "opentelemetry": "opentelemetry-exporter-otlp-proto-http",
    "jsonschema_rs": "jsonschema-rs",
    "jwt": "pyjwt",
    "prometheus_client": "prometheus-client",
}


def wanted(extra: str) -> set[str]:
    """The packages of an extra, in lower case."""
    found = set()
    for line in metadata.requires("greenflow") or ():
        name, _, marker = line.partition(";")
        if re.search(rf"extra == ['\"]{extra}['\"]", marker):
            found.add(re.split(r"[<>=!~\[ ]", name)[0].lower())
    return found


def test_each_package_is_in_its_extra() -> None:
    declared = set(metadata.metadata("greenflow").get_all("Provides-Extra") or ()) - OURS
    for extra in declared - EMPTY - {"broker"}:
        assert {PACKAGES.get(name, name) for name in EXTRAS if EXTRAS[name] == extra} == wanted(
            extra
        )
    assert {name for name in EXTRAS if EXTRAS[name] == "broker"} == wanted("broker")
    assert set(EXTRAS.values()) == declared - EMPTY


def test_the_extra_of_mongodb_brings_nothing_more() -> None:
    assert "mongodb" in (metadata.metadata("greenflow").get_all("Provides-Extra") or ())
    assert wanted("mongodb") == set()
    plain = {line.partition(";")[0] for line in metadata.requires("greenflow") or ()}
    assert any(line.startswith("pymongo>=4.19") for line in plain)


def test_the_extra_of_metrics_brings_nothing_more() -> None:
    assert "metrics" in (metadata.metadata("greenflow").get_all("Provides-Extra") or ())
    assert wanted("metrics") == set()
    plain = {line.partition(";")[0] for line in metadata.requires("greenflow") or ()}
    assert any(line.startswith("prometheus-client>=0.20") for line in plain)


def test_a_reason_names_the_extra() -> None:
    for name, extra in EXTRAS.items():
        for missing in (name, f"{name}.part"):
            error = ModuleNotFoundError(f"No module named {missing!r}", name=missing)
            assert reason(error) == f"No module named {missing!r}; {install(extra)}"
    assert reason(ImportError("broken")) == "broken"
    assert reason(ModuleNotFoundError("gone", name="numpy")) == "gone"
    assert reason(ModuleNotFoundError("gone", name="numpy"), "sql") == f"gone; {install('sql')}"


@pytest.mark.parametrize(
    ("scheme", "package", "modules"),
    [
        ("amqp", "amqp", ["greenflow.broker.amqp"]),
        ("amqps", "amqp", ["greenflow.broker.amqp"]),
        ("redis", "redis", ["greenflow.broker.redis"]),
        ("rediss", "redis", ["greenflow.broker.redis"]),
        ("sqs", "botocore", ["greenflow.broker.sqs.transport", "greenflow.broker.sqs"]),
    ],
)
def test_a_broker(
    monkeypatch: pytest.MonkeyPatch, scheme: str, package: str, modules: list[str]
) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in modules:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    url = f"{scheme}://user:canary@eu-central-1/"
    with pytest.raises(GreenflowError) as raised:
        Runtime("memory://", settings=Settings(broker=BrokerSettings(url=url))).start()
    said = str(raised.value)
    assert said.endswith("pip install 'greenflow[broker]'")
    assert package in said
    assert "canary" not in ": ".join(messages(raised.value))


class Missing:
    """An entry point of a package that is not whole."""

    def __init__(self, name: str, package: str) -> None:
        self.name, self.package = name, package

    def load(self) -> Any:
        raise ModuleNotFoundError(f"No module named {self.package!r}", name=self.package)


def test_a_kind_a_language_and_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    from greenflow import lang
    from greenflow.store import base

    entry = Missing("missing", "sqlalchemy")
    monkeypatch.setattr(base, "offered", lambda group: [entry])
    monkeypatch.setattr(lang, "offered", lambda group: [entry])
    monkeypatch.setattr("greenflow.scheme.registry.EntryPoint", Missing)
    scheme = Scheme({"missing": entry})  # type: ignore[dict-item]
    calls = (
        lambda: scheme.node_type("missing"),
        lambda: lang.compile("missing", ""),
        lambda: base.open_store("missing://host"),
    )
    for call in calls:
        with pytest.raises(GreenflowError) as raised:
            call()
        assert str(raised.value).endswith("pip install 'greenflow[sql]'")


@pytest.fixture
def without_codings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("brotli", "backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    coding.known_codings.cache_clear()
    yield
    coding.known_codings.cache_clear()


def test_content_codings(without_codings: None) -> None:
    for name in ("br", "zstd"):
        with pytest.raises(UnsupportedCoding, match=r"pip install 'greenflow\[compression\]'"):
            coding.decompress(b"", name, 1)
        with pytest.raises(EncodeError, match=r"pip install 'greenflow\[compression\]'"):
            coding.compress(b"", name)
    with pytest.raises(UnsupportedCoding) as raised:
        coding.decompress(b"", "lzw", 1)
    assert "pip install" not in str(raised.value)


@pytest.mark.parametrize("name", ["greenflow.broker.counting", "greenflow.hub.guard"])
def test_metrics_are_left_out_without_a_word(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    module = import_module(name)
    assert module._counters.__wrapped__() is None


def test_no_other_module_writes_the_command() -> None:
    package = Path(import_module("greenflow").__file__ or "").parent
    found = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "pip install 'greenflow[" in path.read_text()
    ]
    assert found == ["extras.py"]
