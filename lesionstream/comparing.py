"""`engines compare`: what shadow engines said beside the active one."""

from collections import Counter
from uuid import UUID

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from lesionstream import endpoints
from lesionstream.console import out, print_json, say
from lesionstream.settings import settings
from wire.envelope import Envelope
from wire.reading import read
from wire.records import Comparison, Opinion
from wire.topics import RESULTS


def compare(*, jsonl: bool) -> None:
    """Count comparisons on `results` by pair of engines and list the frames they disagree on."""
    found = _comparisons()
    if jsonl:
        for one in found:
            print_json(one.model_dump(mode="json", by_alias=True))
        return
    if not found:
        say(
            "no comparison on `results`; start one with `lesionstream worker scoring --shadow NAME`"
        )
        return
    counts = Table("active", "shadow", "frames", "both positive", "active alone", "shadow alone")
    pairs = Counter(_pair(one) for one in found)
    kinds = Counter((_pair(one), one.active.positive, one.shadow.positive) for one in found)
    for pair, frames in sorted(pairs.items()):
        both, first, second = (
            kinds[(pair, *said)] for said in ((True, True), (True, False), (False, True))
        )
        counts.add_row(*pair, str(frames), str(both), str(first), str(second))
    out.print(counts)
    listed = Table("patient", "SOPInstanceUID", "frame", "active", "shadow", title="disagreements")
    for one in found:
        if one.disagree:
            listed.add_row(
                escape(one.patient_id or "unknown"),
                escape(one.sop_instance_uid or str(one.frame_id)),
                str(one.frame_number or ""),
                _said(one.active),
                _said(one.shadow),
            )
    if listed.row_count:
        out.print(listed)


def _comparisons() -> list[Comparison]:
    """Return every comparison once, in the order of arrival."""
    name = settings().names.prefix + RESULTS.name
    found: dict[UUID, Comparison] = {}
    for message in read(endpoints.kafka(), name, from_beginning=True, follow=False):
        if Envelope.of(message.headers).kind != Comparison.kind or message.value is None:
            continue
        try:
            one = Comparison.model_validate_json(message.value)
        except ValidationError:
            say(f"{name} {message.partition}/{message.offset}: not a comparison; left out")
            continue
        found.setdefault(one.id, one)
    return list(found.values())


def _pair(one: Comparison) -> tuple[str, str]:
    active, shadow = one.active.engine, one.shadow.engine
    return f"{active.name} {active.version}", f"{shadow.name} {shadow.version}"


def _said(opinion: Opinion) -> str:
    if opinion.lesion_probability is None:
        return opinion.reason.value if opinion.reason else "not scored"
    return f"{opinion.lesion_probability:.3f}{' positive' if opinion.positive else ''}"
