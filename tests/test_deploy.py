"""contrib/deploy: what its files ask of greenflow is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from greenflow.cli import commands as group
from greenflow.config import fields
from greenflow.spec.syntax.yaml import parts_of_yaml

DEPLOY = Path(__file__).parent.parent / "contrib" / "deploy"
VARIABLES = {"GREENFLOW_" + field.name.upper().replace(".", "_") for field in fields()}


def documents(name: str) -> list[Any]:
    return [part.value for part in parts_of_yaml((DEPLOY / name).read_text())]


def services() -> dict[str, Any]:
    found: dict[str, Any] = documents("compose.yaml")[0]["services"]
    return found


def container() -> dict[str, Any]:
    deployment = next(each for each in documents("kubernetes.yaml") if each["kind"] == "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    only: dict[str, Any] = found
    return only


def commands() -> Iterator[list[str]]:
    for service in services().values():
        if "build" in service:
            yield service["command"]
    yield container()["args"]


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_commands_and_their_options_exist(command: list[str]) -> None:
    name, *arguments = command
    found = group.get_command(click.Context(group), name)
    assert found is not None
    options = {option for parameter in found.params for option in parameter.opts}
    assert {each for each in arguments if each.startswith("-")} <= options


def test_settings_exist() -> None:
    environment = [service.get("environment", {}) for service in services().values()]
    names = {name for each in environment for name in each}
    names |= {each["name"] for each in container()["env"]}
    assert names
    assert names <= VARIABLES


def test_what_is_mounted_and_built_exists() -> None:
    for service in services().values():
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            for volume in service.get("volumes", ()):
                assert (DEPLOY / volume.partition(":")[0]).is_file()


def test_the_image_installs_an_extra_that_exists() -> None:
    found = re.search(r"pip install [^\n]*/src\[(\w+)\]", (DEPLOY / "Dockerfile").read_text())
    assert found is not None
    metadata = (DEPLOY.parent.parent / "setup.cfg").read_text()
    assert f"\n{found[1]} =\n" in metadata.partition("[options.extras_require]")[2]


def test_the_compose_file_has_a_replica_set_and_two_runtimes_behind_a_balancer() -> None:
    found = services()
    runtimes = [name for name, each in found.items() if each.get("command") == ["run", "--wait"]]
    assert len(runtimes) == 2
    assert all(f"{name}:8000" in found["balancer"]["command"] for name in runtimes)
    members = {name for name in found if name.startswith("mongo")}
    for name in runtimes:
        url = found[name]["environment"]["GREENFLOW_DATABASE"]
        assert set(url.partition("://")[2].partition("/")[0].split(",")) == members
