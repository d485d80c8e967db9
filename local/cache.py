"""Redis, with its append-only file: a killed one comes back with all but its last second."""

import socket
from pathlib import Path

from local import process
from local.says import Say
from local.server import Server

SETTINGS = """\
# Written by lesionstream at each start: changes here are lost.
bind 127.0.0.1
protected-mode yes
port {client}
daemonize no
# Or it would overwrite the command line by which it is found again.
set-proc-title no
appendonly yes
appendfsync everysec
save ""
"""
"""The cache's settings. Its folder is the one it is started in."""

_ADVICE = "install Redis (Debian, Ubuntu: apt install redis-server)"


class Cache(Server):
    """The Redis of a state folder; its data are in ``redis``."""

    name = "redis"
    port_names = ("client",)
    start_s = 60.0  # 0.1 s when empty; it reads its whole file before it answers
    stop_s = 20.0

    def find(self) -> process.Process | None:
        """Return the process that runs this cache now."""
        return process.find("redis-server", str(self._settings_file))

    def launch(self, claimed: dict[str, int], say: Say) -> process.Process:
        """Start Redis.

        Raises
        ------
        LocalError   it is not installed.
        """
        redis_server = process.program("redis-server", _ADVICE)
        self._settings_file.write_text(SETTINGS.format(**claimed))
        return process.start(
            [redis_server, str(self._settings_file)], cwd=self.folder, log=self.log
        )

    def answers(self, running: process.Process, port: int) -> bool:
        """Whether the Redis on `port` is this one, and has read its data."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                with connection.makefile("rb") as answer:
                    lines = answer.read(65_536).splitlines()
        except OSError:
            return False
        return lines[:1] == [b"+PONG"] and f"process_id:{running.pid}".encode() in lines

    def address(self, port: int) -> str:
        """Return the URL, with the first database."""
        return f"redis://127.0.0.1:{port}/0"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "redis.conf"
