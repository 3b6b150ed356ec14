"""The options of a MongoDB URL are read from its query, and by what the driver takes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.uri_parser import parse_uri

from greenflow.broker.mongo import MongoTransport
from greenflow.config import BrokerSettings
from greenflow.config.mongodb import options
from greenflow.store.mongo.driver import Driver

HIDING = [
    "mongodb://user:aw=b@h/db",
    "mongodb://user:journal=1@h/db",
    "mongodb://w=0:journal=x@h/db",
    "mongodb://user:serverselectiontimeoutms=1@h/view=x",
    "mongodb://h/view=x",
    "mongodb://h/db?appName=w%3D0",
    "mongodb://h/db?appName=%26w%3D0",
    "mongodb://h/db?appName=journal",
]


@pytest.mark.parametrize("url", HIDING)
def test_what_only_looks_like_an_option_changes_no_write_concern(url: str) -> None:
    driver = Driver(url)
    try:
        assert driver.client.write_concern.document == {"w": "majority", "j": True}
        assert driver.client.options.server_selection_timeout == 5
    finally:
        driver.close()
    transport = MongoTransport(url, "default", BrokerSettings())
    try:
        assert transport.messages.write_concern.document == {"w": "majority", "j": True}
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("query", "concern"),
    [
        ("w=1", {"w": 1, "j": True}),
        ("W=2", {"w": 2, "j": True}),
        ("journal=false", {"w": "majority", "j": False}),
        ("JOURNAL=false;w=1", {"w": 1, "j": False}),
        ("wTimeoutMS=5", {"w": "majority", "j": True, "wtimeout": 5}),
    ],
)
def test_an_option_that_is_there_is_followed(query: str, concern: dict[str, object]) -> None:
    driver = Driver(f"mongodb://h/db?{query}")
    try:
        assert driver.client.write_concern.document == concern
    finally:
        driver.close()
    transport = MongoTransport(f"mongodb://h/db?{query}", "default", BrokerSettings())
    try:
        assert transport.messages.write_concern.document == concern
    finally:
        transport.close()


@given(
    st.dictionaries(st.text("abcW0_-", min_size=1).map(str.lower), st.text("aB=%20+"), max_size=4),
    st.sampled_from("&;"),
)
def test_options_are_those_that_the_driver_reads(given: dict[str, str], separator: str) -> None:
    query = separator.join(f"{name}={value}" for name, value in given.items())
    url = f"mongodb://user:w%3D0@h/journal=x?{query}"
    if all("=" not in value for value in given.values()):
        read = parse_uri(url, validate=False, normalize=False)["options"]
        assert options(url) == {name: read[name] for name in given}
    assert set(options(url)) == set(given)
