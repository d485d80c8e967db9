"""The page of `benchmarks.conformance`: counts, then every file by transfer syntax."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydicom.uid import UID
from pynetdicom import sop_class

from wire.codecs import DEFLATED_IMAGE_FRAME
from wire.errors import Reason

if TYPE_CHECKING:
    from benchmarks.conformance import Row

HEAD = """# What becomes of which file

Made by `make conformance DATA=folder` from the set `dicom` of [data.md](data.md): each file is
sent to a listener by C-STORE, byte for byte and in its own transfer syntax, and replayed, both onto
a real Kafka. The command fails unless `frames` holds exactly the confirmed frames of both ways, and
every refused object lies in quarantine with a dead letter.

"Refused" is what cannot be understood, with the reason: by C-STORE the status and its ErrorComment
(at most 64 characters), by replay the words of `lesionstream replay`. "Not sent": the file names no
class or instance, or the listener does not take its class. See [conformance.md](conformance.md).
"""

_KEYWORDS = {str(uid): name for name, uid in vars(sop_class).items() if isinstance(uid, str)}
"""pynetdicom knows classes that are too new for pydicom."""

FRAMES, SOME, NO_IMAGE, REFUSED = "frames", "some frames refused", "not an image", "refused"
KINDS = (FRAMES, SOME, NO_IMAGE, REFUSED)


def page(rows: Sequence[Row]) -> str:
    """Return the page (Markdown); the same rows give the same page."""
    by_syntax: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (_order(row.syntax), row.file)):
        by_syntax.setdefault(syntax_name(row.syntax), []).append(row)
    parts = [HEAD, "## Counts\n", _counts(by_syntax), _statuses(rows)]
    for name, group in by_syntax.items():
        lines = [line(row) for row in group]
        parts.append(f"## {name}\n\n| file | SOP class | C-STORE | replay |\n|---|---|---|---|")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def line(row: Row) -> str:
    """Return one file's line of its table."""
    cells = (f"`{row.file}`", class_name(row.sop_class), str(row.stored), _replayed(row))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def kind(row: Row) -> str:
    """Return in which of `KINDS` a file ends."""
    if row.frame_ids:
        return SOME if row.refused else FRAMES
    return NO_IMAGE if row.refused[0].startswith(Reason.NOT_AN_IMAGE) else REFUSED


def syntax_name(uid: str) -> str:
    """Return the standard's name of a transfer syntax."""
    if uid == DEFLATED_IMAGE_FRAME:
        return "Deflated Image Frame Compression"
    return UID(uid).name if uid else "No transfer syntax"


def class_name(uid: str) -> str:
    """Return the standard's name of a SOP class; what is private or absent is told so."""
    if not uid:
        return "none"
    name = UID(uid).name
    if name == uid:
        keyword = _KEYWORDS.get(uid, "")
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", keyword) or "private"
    return f"{name} (retired)" if UID(uid).is_retired else name


def _replayed(row: Row) -> str:
    words = []
    if row.frame_ids:
        words.append(f"{len(row.frame_ids)} {'frame' if len(row.frame_ids) == 1 else 'frames'}")
    if row.refused and row.frame_ids:
        words.append(f"{len(row.refused)} refused, the first: {row.refused[0]}")
    elif row.refused:
        words.append(row.refused[0])
    return "; ".join(words)


def _counts(by_syntax: dict[str, list[Row]]) -> str:
    lines = [
        "| transfer syntax | files | sent by C-STORE | frames by replay | files that end as "
        + " | ".join(KINDS)
        + " |",
        "|---" * (4 + len(KINDS)) + "|",
    ]
    every = [row for group in by_syntax.values() for row in group]
    for name, group in [*by_syntax.items(), ("**all**", every)]:
        kinds = Counter(map(kind, group))
        sent = sum(row.stored.status is not None for row in group)
        frames = sum(len(row.frame_ids) for row in group)
        numbers = [len(group), sent, frames, *(kinds[k] for k in KINDS)]
        lines.append(f"| {name} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(lines) + "\n"


def _statuses(rows: Iterable[Row]) -> str:
    found = Counter(
        row.stored.words if row.stored.status is None else f"{row.stored.status:04X}"
        for row in rows
    )
    lines = ["| answer to C-STORE, or why it was not sent | files |", "|---|---|"]
    lines += [f"| {words} | {count} |" for words, count in sorted(found.items())]
    return "\n".join(lines) + "\n"


def _order(syntax: str) -> list[int]:
    """Sort transfer syntaxes by number; files without one come last."""
    return [int(part) for part in syntax.split(".")] if syntax else [9]
