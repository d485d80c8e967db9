"""Plans on disk, each beside a note of what it was built of, for and with: no other is loaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan holds for; where one of these differs it is another plan.

    Attributes
    ----------
    engine : name of the engine.
    onnx_sha256 : of the file it was built of, types and all.
    precision, batch, builder : as it was built, and by which revision of ours.
    tensorrt : version of the library.
    gpu, compute_capability : of the card, as the driver names it.
    """

    engine: str
    onnx_sha256: str
    precision: str
    batch: int
    builder: int
    tensorrt: str
    gpu: str
    compute_capability: tuple[int, int]

    @property
    def name(self) -> str:
        """Return the name of its files, without suffix."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.engine}-{self.precision}-{digest[:12]}"


class PlanStore:
    """A folder of plans. Whoever can write there decides what the GPU computes: keep it yours.

    Parameters
    ----------
    folder : made when it is first needed; several processes may use it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: PlanKey) -> bytes | None:
        """Return the plan; None where there is none, or it is not what its note says."""
        said = self._note(key)
        plan, _ = self._files(key)
        try:
            data = plan.read_bytes()
        except OSError:
            return None
        return data if said.get("sha256") == hashlib.sha256(data).hexdigest() else None

    def refused(self, key: PlanKey) -> str:
        """Return why a plan that was built is not used; "" where none was refused."""
        _, note = self._files(key)
        why = str(self._note(key).get("refused", ""))
        return why and f"{why} (built before; remove {note} to try again)"

    def refuse(self, key: PlanKey, why: str) -> None:
        """Note that the plan is not to be used, so that nobody builds it at each start."""
        _, note = self._files(key)
        _write(note, (json.dumps({"key": _plain(key), "refused": why}, indent=2) + "\n").encode())

    def keep(self, key: PlanKey, plan: bytes, told: dict[str, Any]) -> Path:
        """Write the plan and its note; the note is last, without it the plan does not count.

        Parameters
        ----------
        told : what else the note shall say, e.g. how long the build took.
        """
        path, note = self._files(key)
        digest = hashlib.sha256(plan).hexdigest()
        _write(path, plan)
        said = {"key": _plain(key), "sha256": digest, **told}
        _write(note, (json.dumps(said, indent=2) + "\n").encode())
        return path

    def timing(self, key: PlanKey) -> bytes:
        """Return what earlier builds measured on this card with this version; empty at first."""
        try:
            return self._timing(key).read_bytes()
        except FileNotFoundError:
            return b""

    def keep_timing(self, key: PlanKey, timing: bytes) -> None:
        """Keep what a build measured."""
        _write(self._timing(key), timing)

    def _note(self, key: PlanKey) -> dict[str, Any]:
        """Return what is noted; nothing where there is no note, or none for this key."""
        _, note = self._files(key)
        try:
            said = json.loads(note.read_text())
        except (OSError, ValueError):  # ValueError: half a note, or none of ours
            return {}
        return said if isinstance(said, dict) and said.get("key") == _plain(key) else {}

    def _files(self, key: PlanKey) -> tuple[Path, Path]:
        return self.folder / f"{key.name}.plan", self.folder / f"{key.name}.json"

    def _timing(self, key: PlanKey) -> Path:
        card = json.dumps([key.tensorrt, key.gpu, key.compute_capability])
        return self.folder / f"{hashlib.sha256(card.encode()).hexdigest()[:12]}.timing"


def _plain(key: PlanKey) -> Any:
    return json.loads(json.dumps(asdict(key)))


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    part.write_bytes(data)
    part.replace(path)
