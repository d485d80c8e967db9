"""The commands of those who decide what is said: `policy test`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionstream.cli_options import Jsonl

policy_app = typer.Typer(
    no_args_is_help=True, help="Policies: what a changed one would have said of what happened."
)


@policy_app.callback()
def policy() -> None:
    """Keep `test` a word of its own."""


@policy_app.command("test")
def policy_test(
    changed: Annotated[
        str, typer.Argument(metavar="POLICY", help="longitudinal, threshold or a TOML file.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="POLICY", help="Compare with this; default: the one set.")
    ] = None,
    findings: Annotated[
        Path | None,
        typer.Option(help="JSON lines of `tail results --jsonl` or `infer --jsonl`, not Kafka."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="truth.json of simulated scans: counts false alarms.")
    ] = None,
    jsonl: Jsonl = False,
) -> None:
    """Replay past findings through a changed policy: shows what would have differed."""
    from lesionstream import policies

    raise typer.Exit(
        policies.test(changed, against=against, findings=findings, truth=truth, jsonl=jsonl)
    )
