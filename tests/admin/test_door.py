"""Where an engine can be reached, and by whom: sockets, addresses, folders of others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from greenflow.admin import sockets
from greenflow.admin.door import Door, opened
from greenflow.admin.sockets import AdminRefused, running_engines
from greenflow.config.admin import AdminSettings
from tests.admin.asking import ask_raw, engine


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "greenflow"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_socket_is_the_users_alone_and_found(folder: Path) -> None:
    with engine() as (runtime, _):
        with opened(runtime.interface, AdminSettings(), "shop one/2") as door:
            assert door is not None
            path = folder / f"shop-one-2-{os.getpid()}.sock"
            assert door.address == f"unix:{path}"
            assert (mode(folder), mode(path)) == (0o700, 0o600)
            (found,) = running_engines()
            assert found == ("shop-one-2", os.getpid(), str(path))
            assert b"200 OK" in ask_raw(path, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        assert not path.exists()
        assert running_engines() == []


def test_none_opens_nothing(folder: Path) -> None:
    with (
        engine() as (runtime, _),
        opened(runtime.interface, AdminSettings(address="none"), "a") as door,
    ):
        assert door is None
    assert not folder.exists()


def test_sockets_of_ended_engines_are_removed(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    stale, other = folder / "old-1.sock", folder / "note.txt"
    with closing(Socket(AF_UNIX, SOCK_STREAM)) as left:
        left.bind(str(stale))
    other.write_text("kept")
    assert running_engines() == []
    assert (stale.exists(), other.exists()) == (False, True)


def test_a_folder_of_another_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    with engine() as (runtime, _):
        monkeypatch.setattr("os.getuid", lambda: 12345)
        with pytest.raises(AdminRefused, match="not a folder of this user"):
            Door(runtime.interface, AdminSettings(), "a")
        with pytest.raises(AdminRefused, match="not a folder of this user"):
            running_engines()


def test_a_folder_that_others_may_enter_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o750)
    with engine() as (runtime, _), pytest.raises(AdminRefused, match="chmod 700"):
        Door(runtime.interface, AdminSettings(), "a")


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_in_the_place_of_the_folder_is_refused(folder: Path, target: str) -> None:
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / target)
    with engine() as (runtime, _), pytest.raises(AdminRefused, match="not a folder"):
        Door(runtime.interface, AdminSettings(), "a")


def test_without_a_runtime_folder_it_is_under_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert sockets.folder() == str(tmp_path / f"greenflow-{os.getuid()}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    assert sockets.folder() == str(tmp_path / f"greenflow-{os.getuid()}")


def test_a_name_is_cut_to_what_fits(folder: Path) -> None:
    path = sockets.path_of("n" * 300, 7)
    assert len(path) <= sockets.LONGEST
    assert path.endswith("-7.sock")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
@pytest.mark.parametrize("part", ["token", "tls_cert", "neither"])
def test_beyond_loopback_it_needs_a_token_and_tls(host: str, part: str) -> None:
    given = AdminSettings(
        f"{host}:0",
        token=["t"] if part == "token" else [],
        tls_cert="cert" if part == "tls_cert" else None,
        tls_key="key",
    )
    with engine() as (runtime, _), pytest.raises(AdminRefused, match=r"admin\.t"):
        Door(runtime.interface, given, "a")


@pytest.mark.parametrize("address", ["", "9000", ":9000", "127.0.0.1", "127.0.0.1:x", "h:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with engine() as (runtime, _), pytest.raises(AdminRefused, match="HOST:PORT"):
        Door(runtime.interface, AdminSettings(address), "a")


def test_on_loopback_it_asks_for_the_token_that_is_set() -> None:
    with engine() as (runtime, _):
        door = Door(runtime.interface, AdminSettings("127.0.0.1:0", token=["secret"]), "a")
        try:
            port = int(door.address.rpartition(":")[2])
            request = f"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode()
            assert b" 401 " in ask_raw(port, request)
            assert b" 200 " in ask_raw(port, request + b"Authorization: Bearer secret\r\n")
        finally:
            door.close()


def test_beyond_loopback_it_is_encrypted() -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    given = AdminSettings(
        "0.0.0.0:0",
        token=["secret"],
        tls_cert=issued.cert_chain_pems[0].bytes().decode(),
        tls_key=issued.private_key_pem.bytes().decode(),
    )
    with engine() as (runtime, _):
        door = Door(runtime.interface, given, "a")
        try:
            assert door.address.startswith("https://0.0.0.0:")
        finally:
            door.close()


def test_it_goes_on_while_the_engine_drains(folder: Path) -> None:
    request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n"
    with engine() as (runtime, _), opened(runtime.interface, AdminSettings(), "a") as door:
        assert door is not None
        path = Path(door.address.removeprefix("unix:"))
        assert b" 200 " in ask_raw(path, request)
        runtime.drain()
        assert b" 503 " in ask_raw(path, request)
        runtime.stop()
        assert b" 503 " in ask_raw(path, request)


#: What another user of the machine tries: to list the folder, and to connect.
STRANGER = """
import os, socket, sys
path = sys.argv[1]
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
for attempt in (
    lambda: os.listdir(os.path.dirname(path)),
    lambda: socket.socket(socket.AF_UNIX).connect(path),
):
    try:
        attempt()
    except PermissionError:
        continue
    sys.exit("reached")
"""


def test_another_user_of_the_machine_does_not_reach_it(folder: Path) -> None:
    with engine() as (runtime, _), opened(runtime.interface, AdminSettings(), "a") as door:
        assert door is not None
        path = door.address.removeprefix("unix:")
        assert mode(Path(path)) == 0o600
        if os.getuid() == 0:  # nobody else may become another
            for parent in folder.parents:  # pytest's folders are its user's alone
                if parent.owner() == "root" and str(parent).startswith(f"{tempfile.gettempdir()}/"):
                    parent.chmod(0o755)
            done = subprocess.run(
                [sys.executable, "-c", STRANGER, path],
                check=False,
                capture_output=True,
                text=True,
            )
            assert (done.returncode, done.stderr) == (0, "")
