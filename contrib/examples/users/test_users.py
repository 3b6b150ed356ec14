"""users.yaml, asked over HTTP. Run it with `pytest`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenflow.testing import Flow, flow

USERS = Path(__file__).with_name("users.yaml")
ANNA = {"name": "Anna", "email": "anna@example.org"}


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flow]:
    monkeypatch.chdir(tmp_path)  # where users.db will be
    with flow(USERS) as running:
        yield running


def test_a_user_is_created_read_changed_and_deleted(users: Flow) -> None:
    created = users.request("POST", "/users", ANNA)
    assert (created.status, created.header["Location"]) == (201, "/users/1")
    assert created.body == {"id": 1, **ANNA}
    assert users.request("GET", "/users/1").body == {"id": 1, **ANNA}
    changed = users.request("PUT", "/users/1", {**ANNA, "name": " Anne "})
    assert (changed.status, changed.body) == (200, {"id": 1, **ANNA, "name": "Anne"})
    assert users.request("GET", "/users").body == [{"id": 1, **ANNA, "name": "Anne"}]
    assert users.request("DELETE", "/users/1").status == 204
    assert users.request("GET", "/users").body == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("id", ["7", "x", "-1", "1e3", "9" * 30])
def test_a_user_that_is_not_there_is_404(users: Flow, method: str, id: str) -> None:
    body = ANNA if method == "PUT" else None
    assert users.request(method, f"/users/{id}", body).status == 404


def test_a_second_one_with_the_same_email_is_409(users: Flow) -> None:
    users.request("POST", "/users", ANNA)
    users.request("POST", "/users", {"name": "Ben", "email": "ben@example.org"})
    again = {"name": "Other", "email": "ANNA@example.org"}
    assert users.request("POST", "/users", again).status == 409
    assert users.request("PUT", "/users/2", again).status == 409
    assert [user["name"] for user in users.request("GET", "/users").body] == ["Anna", "Ben"]


@pytest.mark.parametrize(
    "body",
    [
        "{",
        None,
        [],
        "Anna",
        {},
        {"name": "Anna"},
        {"email": "anna@example.org"},
        {"name": " ", "email": "anna@example.org"},
        {"name": "A" * 101, "email": "anna@example.org"},
        {"name": 7, "email": "anna@example.org"},
        {"name": "Anna", "email": "anna"},
        {"name": "Anna", "email": None},
        {"name": "Anna", "email": f"{'a' * 250}@example.org"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_what_is_no_user_is_400(users: Flow, method: str, body: Any) -> None:
    path = "/users" if method == "POST" else "/users/1"
    header = {"Content-Type": "application/json"} if body == "{" else None
    assert users.request(method, path, body, header).status == 400
    assert users.request("GET", "/users").body == []


def test_an_attempt_to_inject_is_a_name(users: Flow) -> None:
    name = "'); DROP TABLE users; --"
    assert users.request("POST", "/users", {**ANNA, "name": name}).status == 201
    assert users.request("GET", "/users/1").body["name"] == name


def test_what_nobody_foresaw_is_logged(
    users: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in tmp_path.glob("users.db*"):
        file.unlink()
    assert users.request("GET", "/users").status == 500
    assert "no such table: users" in caplog.text
