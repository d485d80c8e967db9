"""The audit log: who asked for names, or did something to the vault, when and why."""

import getpass
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lesionstream.settings import settings
from wire.envelope import rfc3339


def path() -> Path:
    """Return where the audit log lies."""
    return settings().home / "audit.jsonl"


def note(what: str, reason: str, **facts: object) -> None:
    """Append one line, readable by its owner alone, and wait until it is on the disk.

    Parameters
    ----------
    what : the command, such as ``reidentify``.
    reason : why, in the words of who asked.
    facts : never a name.
    """
    line = {
        "time": rfc3339(datetime.now(UTC)),
        "account": getpass.getuser(),
        "what": what,
        "reason": reason,
        **facts,
    }
    path().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(path(), flags, 0o600), "w") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def lines(what: str) -> Iterator[dict[str, Any]]:
    """Yield what was noted of a command, oldest first; what cannot be read is passed over."""
    with suppress(OSError), path().open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, dict) and found.get("what") == what:
                    yield found
