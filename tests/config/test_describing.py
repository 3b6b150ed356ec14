"""Settings in words."""

from __future__ import annotations

import pytest

from greenflow.config import Settings, fields
from greenflow.config.describing import groups, in_words, type_in_words, variable_in_words
from greenflow.config.loading import load, load_with_origins

FIELDS = {field.name: field for field in fields()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("database", "text"),
        ("syscall.namespace", "text"),
        ("grace", "duration"),
        ("output", "one of table, wide, json, yaml"),
        ("http.allow", "list of hosts"),
        ("values.key", "list of secrets"),
        ("lint.off", "list of texts"),
        ("broker.prefetch", "whole number, 1 or more, at most 10000"),
        ("environment", "map"),
        ("languages", "map"),
    ],
)
def test_a_type_in_words(name: str, words: str) -> None:
    assert type_in_words(FIELDS[name]) == words


def test_every_setting_is_in_a_group() -> None:
    found = [field for group in groups() for field in group.settings]
    assert sorted(field.name for field in found) == sorted(FIELDS)
    assert all(group.about for group in groups() if group.name)


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_can_be_written_as_it_is_shown(name: str) -> None:
    field = FIELDS[name]
    text = in_words(field, field.default)
    assert load({}, {field.variable: text}) == Settings()


def test_a_variable_is_one_that_is_read() -> None:
    assert variable_in_words(FIELDS["log.level"]) == "GREENFLOW_LOG_LEVEL"
    assert variable_in_words(FIELDS["languages"]) == ""
    variable = variable_in_words(FIELDS["environment"])
    assert load({}, {variable: "x"}).environment == {"KEY": "x"}


def test_an_origin_is_the_place_that_counts() -> None:
    environ = {"GREENFLOW_GRACE": "1", "GREENFLOW_NAMESPACE": "", "GREENFLOW_ENVIRONMENT_A": "a"}
    environ |= {"SHOP_B": "b", "GREENFLOW_ENVIRONMENT_INHERIT": "SHOP_*"}
    settings, origins = load_with_origins({"grace": "2", "output": None}, environ)
    assert settings.grace == 2
    assert origins == {
        "grace": "flag",
        "environment_inherit": "GREENFLOW_ENVIRONMENT_INHERIT",
        "environment": "GREENFLOW_ENVIRONMENT_A, environment_inherit",
    }
