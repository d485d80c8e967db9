"""What the broker and the cache have in common: start once, find again, wait, stop."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from local import ports, process
from local.errors import LocalError
from local.says import Say


class Server(ABC):
    """One server of a state folder.

    Parameters
    ----------
    home : the state folder, absolute and resolved: it is how the process is recognised.
    """

    name: ClassVar[str]
    """Of its folder, its log, and in what `down` returns."""

    port_names: ClassVar[tuple[str, ...]]
    """The ports it listens on; clients use ``client``."""

    start_s: ClassVar[float]
    """How long it may take from its start to its first answer."""

    stop_s: ClassVar[float]
    """How long it may take to stop before it is killed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / self.name
        self.log = home / "logs" / f"{self.name}.log"
        self._ports_file = self.folder / "ports.json"

    @abstractmethod
    def find(self) -> process.Process | None:
        """Return the process that runs this server now."""

    @abstractmethod
    def launch(self, claimed: dict[str, int], say: Say) -> process.Process:
        """Write the configuration and start the server on these ports; do not wait for it."""

    @abstractmethod
    def answers(self, running: process.Process, port: int) -> bool:
        """Whether `port` is served by `running`, ready for clients; at most about 2 s."""

    @abstractmethod
    def address(self, port: int) -> str:
        """Return what clients connect to."""

    def status(self) -> str | None:
        """Return the address if the server runs and answers."""
        running = self.find()
        port = ports.remembered(self._ports_file).get("client")
        if running is None or port is None or not self.answers(running, port):
            return None
        return self.address(port)

    def remembered(self) -> str | None:
        """Return its address of last time, whether it runs or not; None if it never ran."""
        port = ports.remembered(self._ports_file).get("client")
        return None if port is None else self.address(port)

    def up(self, say: Say) -> str:
        """Start the server, or find it running; return its address once it answers.

        Raises
        ------
        LocalError   it died (with the last lines of its log), or does not answer in time.
        """
        running = self.find()
        if running is not None:
            port = ports.remembered(self._ports_file).get("client")
            if port is not None and self._await(running, port, since=self._log_size()):
                return self.address(port)
            self.down(say)  # its folder was removed under it, or it died while we waited
        for _ in range(2):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log.parent.mkdir(parents=True, exist_ok=True)
            since = process.set_aside(self.log)
            claimed = ports.claim(self._ports_file, self.port_names)
            say(f"starting {self.name} on 127.0.0.1:{claimed['client']}")
            running = self.launch(claimed, say)
            if self._await(running, claimed["client"], since=since):
                return self.address(claimed["client"])
            if all(ports.is_free(port) for port in claimed.values()):
                break  # it did not die because someone took a port meanwhile
        raise LocalError(f"{self.name} ended while it was starting.{self._log_says(since)}")

    def down(self, say: Say) -> bool:
        """Stop the server; False: it did not run."""
        running = self.find()
        if running is None:
            return False
        say(f"stopping {self.name}")
        if not running.stop(self.stop_s):
            say(f"{self.name} did not stop within {self.stop_s:.0f} s and was killed")
        return True

    def _await(self, running: process.Process, port: int, *, since: int) -> bool:
        """Wait for the first answer; False: the process ended."""
        ready = False

        def settled() -> bool:
            nonlocal ready
            ready = self.answers(running, port)
            return ready or not running.alive()

        if not process.until(settled, self.start_s):
            raise LocalError(
                f"{self.name} (process {running.pid}) does not answer on 127.0.0.1:{port} after "
                f"{self.start_s:.0f} s: wait and run this again, or stop it (`lesionstream down`)."
                f"{self._log_says(since)}"
            )
        return ready

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _log_says(self, since: int) -> str:
        return f" Its log, {self.log}, ends:{process.last_lines(self.log, since) or ' (empty)'}"
