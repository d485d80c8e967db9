"""`local.ports`: picked once, remembered, replaced only when taken."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import ports


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ports.json"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_claimed_ports_are_distinct_free_and_remembered(file: Path) -> None:
    claimed = ports.claim(file, ("client", "controller"))
    assert len(set(claimed.values())) == 2
    assert all(port in ports.PORTS and ports.is_free(port) for port in claimed.values())
    assert ports.remembered(file) == claimed
    assert ports.claim(file, ("client", "controller")) == claimed


def test_only_a_taken_port_is_replaced(file: Path) -> None:
    before = ports.claim(file, ("client", "controller"))
    with socket.create_server(("127.0.0.1", before["client"])):
        after = ports.claim(file, ("client", "controller"))
    assert after["client"] != before["client"]
    assert after["controller"] == before["controller"]


def test_a_port_that_is_freed_in_a_moment_is_kept(file: Path) -> None:
    before = ports.claim(file, ("client",))
    with socket.create_server(("127.0.0.1", before["client"])) as server:
        later = threading.Timer(ports.FREED_S / 4, server.close)
        later.start()
        assert ports.claim(file, ("client",)) == before
        later.join()


def test_what_is_left_of_a_killed_servers_connection_does_not_count() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    accepted.close()  # the server's side closes first: TIME_WAIT or FIN_WAIT on its port
    assert ports.is_free(port)
    client.close()
    assert ports.is_free(port)


def test_a_port_that_is_listened_on_is_not_free(listener: socket.socket) -> None:
    assert not ports.is_free(listener.getsockname()[1])


@pytest.mark.parametrize(
    "words", ["", "{", "[]", "null", '{"client": "high"}', '{"client": 80}', '{"client": -1}']
)
def test_a_broken_note_is_replaced(file: Path, words: str) -> None:
    file.write_text(words)
    assert ports.claim(file, ("client",))["client"] in ports.PORTS
