"""`dead-letters`: words in, what is wanted out."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from lesionstream.cli_options import Jsonl
from lesionstream.letters_wanted import Wanted
from wire.moments import in_utc

letters_app = typer.Typer(
    no_args_is_help=True, help="Frames that could not be used: list, show, replay."
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(words: str) -> datetime:
    """Read a time: ISO 8601 (UTC where it has no offset), or so long ago: ``90s 15m 2h 3d``."""
    ago = re.fullmatch(r"(\d{1,6})([smhd])", words)
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return in_utc(datetime.fromisoformat(words))
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{words!r} is no time: 2026-01-31T08:00, 2h, 3d") from None


References = Annotated[
    list[str] | None, typer.Argument(help="PARTITION:OFFSET or sha256, as listed")
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Only this reason; may be given repeatedly.")
]
Since = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="Set aside since then: ISO 8601, or 2h, 3d."),
]
Until = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="TIME", help="Set aside before then.")
]
Topic = Annotated[str | None, typer.Option(help="Only what came from this topic.")]
Patient = Annotated[str | None, typer.Option(metavar="PSEUDONYM", help="Only of this patient.")]
Engine = Annotated[str | None, typer.Option(help="Only what this engine was asked.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest.")]


@letters_app.command("list")
def letters_list(
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    topic: Topic = None,
    patient: Patient = None,
    engine: Engine = None,
    limit: Limit = None,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only what `replay` would send.")
    ] = False,
    jsonl: Jsonl = False,
) -> None:
    """List dead letters and what lies in quarantine."""
    from lesionstream import letters

    wanted = Wanted((), tuple(reason or ()), since, until, topic, patient, engine)
    letters.show_all(wanted, waiting=waiting, limit=limit, jsonl=jsonl)


@letters_app.command("show")
def letters_show(
    reference: Annotated[str, typer.Argument(help="PARTITION:OFFSET or sha256, as listed")],
) -> None:
    """Show one dead letter."""
    from lesionstream import letters

    raise typer.Exit(letters.show(reference))


@letters_app.command("replay")
def letters_replay(
    references: References = None,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    topic: Topic = None,
    patient: Patient = None,
    engine: Engine = None,
    limit: Limit = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that wait: instead of references or filters.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent before.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
) -> None:
    """Send dead letters and quarantined files through once more, once each. Ids stay the same."""
    from lesionstream import letters_replay

    wanted = Wanted(
        tuple(references or ()), tuple(reason or ()), since, until, topic, patient, engine
    )
    if wanted.everything and not everything:
        raise typer.BadParameter("which? name references, give a filter, or say --all")
    if everything and not wanted.everything:
        raise typer.BadParameter("--all goes with no reference and no filter")
    code = letters_replay.replay(wanted, again=again, dry_run=dry_run, limit=limit)
    raise typer.Exit(code)
