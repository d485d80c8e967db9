"""`replay`."""

from collections.abc import Sequence
from pathlib import Path

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.console import err, progress_bar, say
from lesionstream.naming import open_vault
from lesionstream.settings import SettingsError, settings
from producers.naming import NameKeeper
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.replay import SOURCE, Tally, replay
from producers.sources import find


def replay_paths(paths: Sequence[Path], *, fps: float | None, loop: bool) -> int:
    """Publish everything below `paths`; return the exit code."""
    wanted = settings()
    sources = find(paths)
    if not sources:
        raise SettingsError(f"no file below {', '.join(map(str, paths))}")
    key = load_or_make_key(wanted.pseudonym_key_file)
    quarantine = Quarantine(wanted.quarantine)
    names = NameKeeper(open_vault)
    failed = False
    with (
        Publisher(endpoints.kafka(), names=wanted.names, source=SOURCE) as publisher,
        progress_bar("files") as bar,
    ):
        while True:
            task = bar.add_task("publishing", total=len(sources), note="")

            def show(tally: Tally, task: int = task) -> None:
                note = f"{tally.frames} frames, {len(tally.failed)} unusable"
                bar.update(task, completed=tally.files, note=note)  # type: ignore[arg-type]

            tally = replay(
                sources,
                publisher=publisher,
                quarantine=quarantine,
                key=key,
                fps=fps,
                keep=names.keep,
                progress=show,
            )
            for name, why in tally.failed:
                # Names of files may be names of patients: a person sees them, a log does not.
                say(f"{name if err.is_terminal else 'a file'}: {why}", style="yellow")
            say(
                f"{tally.confirmed} frames of {tally.files} files published, "
                f"{len(tally.failed)} could not become a frame"
            )
            if names.trouble:
                say(f"names are not kept: {names.trouble}", style="yellow")
            failed = failed or bool(tally.failed)
            if not loop:
                return 1 if failed else 0
            bar.remove_task(task)
