"""Commands of the bedside monitor: `monitor`, `users`."""

from enum import StrEnum
from typing import Annotated

import typer

from lesionstream.cli_options import Json

users_app = typer.Typer(
    no_args_is_help=True, help="Who may see the bedside monitor: add, list, remove."
)


class RoleName(StrEnum):
    """What somebody may see and do."""

    VIEWER = "viewer"
    NURSE = "nurse"
    CLINICIAN = "clinician"
    OPERATOR = "operator"


Name = Annotated[str, typer.Argument(help="As it stands in the audit log; never a patient's.")]


def monitor(
    host: Annotated[str | None, typer.Option(help="As LESIONSTREAM_MONITOR says.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Nobody logs in; this machine alone is answered.")
    ] = False,
) -> None:
    """Serve the bedside monitor and its feed of alerts, until it is told to stop.

    Who may see it: `lesionstream users`.
    """
    from lesionstream import monitoring

    monitoring.monitor(host=host, port=port, demo=demo)


@users_app.command("add")
def add(
    name: Name,
    role: Annotated[
        RoleName,
        typer.Option(
            help="viewer: pseudonyms; nurse: names, acknowledges; clinician: signs off, too; "
            "operator: technical alarms."
        ),
    ],
    token: Annotated[
        bool, typer.Option("--token", help="For a program: prints a bearer token, once.")
    ] = False,
) -> None:
    """Let somebody see the monitor, or change role and password. Asks for the password."""
    from lesionstream import monitoring

    monitoring.add_user(name, role.value, token=token)


@users_app.command("list")
def list_users(json: Json = False) -> None:
    """List who may see the monitor."""
    from lesionstream import monitoring

    monitoring.list_users(json=json)


@users_app.command("remove")
def remove(name: Name) -> None:
    """Take somebody out; their session ends. Exit code 1 if there is no such name."""
    from lesionstream import monitoring

    raise typer.Exit(monitoring.remove_user(name))
