"""Health: what a long-running process says of itself on `/live` and `/ready`."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Health:
    """One process at one moment.

    dead : why it should be started again; empty while it lives.
    not_ready : why it does not do its work now; empty when it does. A process that is dead is not
        ready either.
    facts : what else an operator wants to know, by name.
    """

    dead: tuple[str, ...] = ()
    not_ready: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def live(self) -> bool:
        """Return whether it may go on."""
        return not self.dead

    @property
    def ready(self) -> bool:
        """Return whether it does its work."""
        return not self.dead and not self.not_ready

    def to_json(self) -> dict[str, Any]:
        """Return it as `/live` and `/ready` answer."""
        return {"live": self.live, "ready": self.ready, **asdict(self)}
