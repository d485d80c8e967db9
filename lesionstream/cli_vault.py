"""The commands of the vault: `vault backup`, `vault check`, `vault rotate-key`."""

from pathlib import Path
from typing import Annotated

import typer

vault_app = typer.Typer(
    no_args_is_help=True, help="The names of patients: back up, check, exchange the key."
)
Reason = Annotated[str, typer.Option(prompt="Why", help="Goes to the audit log.")]


@vault_app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="A new file; an old one is not written over.")],
    reason: Reason,
) -> None:
    """Copy the vault while others use it, and open every entry of the copy.

    The key is not in the copy: keep it elsewhere. Exit code 1 if an entry is damaged.
    """
    from lesionstream import vault

    raise typer.Exit(vault.backup(file, reason))


@vault_app.command("check")
def check(
    reason: Annotated[str, typer.Option(help="Goes to the audit log.")] = "check",
) -> None:
    """Open every entry and count. Exit code 1 if one is damaged."""
    from lesionstream import vault

    raise typer.Exit(vault.check(reason))


@vault_app.command("rotate-key")
def rotate_key(
    reason: Reason,
    keep_old: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the old key here: older backups need it."),
    ] = None,
) -> None:
    """Encrypt all names under a new key; whatever runs goes on.

    May be killed at any moment: run it again, and it is finished or done anew.
    """
    from lesionstream import vault

    raise typer.Exit(vault.rotate_key(reason, keep_old))
