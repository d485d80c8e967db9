"""The commands around treatment: `therapy add`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

therapy_app = typer.Typer(no_args_is_help=True, help="What a patient is treated with.")


@therapy_app.callback()
def therapy() -> None:
    """Keep `add` a word of its own."""


@therapy_app.command("add")
def therapy_add(
    patient_id: Annotated[str, typer.Argument(metavar="ID", help="Pseudonym: p-...")],
    plan: Annotated[str, typer.Option(help="Code of the plan.")],
    start: Annotated[
        datetime | None,
        typer.Option(help="The real date, UTC; the study before it is the baseline. Default: now."),
    ] = None,
    shown: Annotated[
        bool, typer.Option("--shown", help="--start is as the monitor shows dates: moved already.")
    ] = False,
    flag: Annotated[
        list[str] | None, typer.Option(help="What speaks against some plans; may be repeated.")
    ] = None,
    no_flag: Annotated[
        list[str] | None, typer.Option(help="A flag that holds no longer; may be repeated.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="In words, for the audit log.")] = None,
    least_mm: Annotated[
        float | None, typer.Option(min=0, help="Smaller lesions of this patient alarm nobody.")
    ] = None,
    sum_mm: Annotated[
        float | None, typer.Option(min=0, help="Alarm where the targets' diameters come to this.")
    ] = None,
) -> None:
    """Record a therapy as an action: baseline, limits and recommendations follow from it."""
    from lesionstream import therapy as command

    when = start.replace(tzinfo=start.tzinfo or UTC) if start else None
    raise typer.Exit(
        command.add(
            patient_id,
            plan,
            start=when,
            shown=shown,
            flags=flag or (),
            flags_withdrawn=no_flag or (),
            reason=reason,
            least_mm=least_mm,
            sum_mm=sum_mm,
        )
    )
