"""`infer`: files to findings without Kafka, by the same code as the stream."""

import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table

from identity.pseudonyms import load_or_make_key
from lesionstream import catalogue
from lesionstream.console import out, print_json, progress_bar, say
from lesionstream.settings import SettingsError, settings
from producers.prepare import prepare_source
from producers.replay import prepared_frames
from producers.sources import Source, find
from stream.looking import look
from stream.retrying import Retry
from stream.scoring import Message, Scorer, unscored
from wire.decode_pool import DecodePool
from wire.envelope import Envelope
from wire.errors import FrameError
from wire.ids import payload_id_of
from wire.records import NO_ENGINE_USED, Finding, FramePath, StageTimes


def infer(paths: Sequence[Path], *, engine: str | None, device: str | None, jsonl: bool) -> int:
    """Print a finding for each frame below `paths`; return the exit code."""
    wanted = settings()
    key = load_or_make_key(wanted.pseudonym_key_file)
    loaded = catalogue.load(engine, device=device)
    scorer = Scorer(
        loaded,
        look=look,
        now_ms=lambda: time.monotonic() * 1000,
        retry=Retry(chance=random.random, sleep=time.sleep),
    )
    sources = find(paths)
    if not sources:
        raise SettingsError(f"no file below {', '.join(map(str, paths))}")
    findings: list[Finding] = []
    not_scored = 0
    with progress_bar("files") as bar, DecodePool(prepare_source) as pool:
        for finding in _findings(sources, scorer, pool, key, bar):
            not_scored += finding.status == "not-scored"
            if jsonl:
                print_json(finding.model_dump(mode="json", by_alias=True))
            else:
                findings.append(finding)
    loaded.close()
    if not jsonl:
        out.print(_table(findings, loaded.card.operating_points.screen))
        say(f"engine {loaded.card.name} {loaded.card.version}: decision support only")
    return 1 if not_scored else 0


def _findings(
    sources: Sequence[Source], scorer: Scorer, pool: DecodePool, key: bytes, bar: Progress
) -> Iterator[Finding]:
    task: TaskID = bar.add_task("scoring", total=len(sources), note="")
    for source in sources:
        where = FramePath(path=source.name)
        for item in prepared_frames(pool, source, key):
            if isinstance(item, FrameError):
                message = Message(None, _nobody(None), where)
                number = item.about.frame_number if item.about else None
                frame_id = payload_id_of(source.sha256(), number)
                say(f"{source.name}: {item}", style="yellow")
                yield unscored(message, item, frame_id, NO_ENGINE_USED, StageTimes()).finding
            else:
                message = Message(item.payload, _nobody(item.frame_number), where)
                yield scorer.answer(message, datetime.now(UTC)).finding
        bar.advance(task)


def _nobody(frame_number: int | None) -> Envelope:
    """Return the envelope of a frame that no producer sent."""
    return Envelope(kind="frame", id=None, source=None, frame_number=frame_number)


def _table(findings: Sequence[Finding], screen: float) -> Table:
    table = Table(title=f"findings: {len(findings)}", title_justify="left")
    table.add_column("file", overflow="fold")
    table.add_column("frame", justify="right")
    table.add_column("modality")
    table.add_column("lesion probability", justify="right")
    table.add_column("")
    for finding in findings:
        p = finding.lesion_probability
        style = "bold red" if p is not None and p >= screen else "dim" if p is None else ""
        cells: list[Any] = [
            escape(getattr(finding.frame, "path", "")),
            str(finding.frame_number or ""),
            finding.modality or "",
            "" if p is None else f"{p:.3f}",
            finding.detail or ("positive" if style == "bold red" else ""),
        ]
        table.add_row(*cells, style=style)
    return table
