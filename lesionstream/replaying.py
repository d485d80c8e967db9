"""`replay`."""

import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.progress import Progress

from identity.pseudonyms import load_or_make_key
from lesionstream import endpoints
from lesionstream.console import err, progress_bar, say
from lesionstream.naming import open_vault
from lesionstream.settings import SettingsError, settings
from producers.acquisition import times_of
from producers.naming import NameKeeper
from producers.order import Schedule, as_acquired, shuffled
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.replay import SOURCE, Tally, replay
from producers.sources import Source, find
from wire.topics import FRAMES, STAT


@dataclass(frozen=True, slots=True)
class Order:
    """In which order files go, and when; by default as they are found, at once.

    seed : of `shuffle`; None for one that is said.
    speed : of `as_acquired`.
    """

    shuffle: bool = False
    seed: int | None = None
    as_acquired: bool = False
    speed: float = 1.0


def replay_paths(
    paths: Sequence[Path],
    *,
    fps: float | None,
    loop: bool,
    order: Order | None = None,
    stat: bool = False,
) -> int:
    """Publish everything below `paths`, as urgent where `stat`; return the exit code."""
    wanted = settings()
    sources = find(paths)
    if not sources:
        raise SettingsError(f"no file below {', '.join(map(str, paths))}")
    key = load_or_make_key(wanted.pseudonym_key_file)
    quarantine = Quarantine(wanted.quarantine)
    names = NameKeeper(open_vault)
    failed = False
    with Publisher(endpoints.kafka(), names=wanted.names, source=SOURCE) as publisher:
        for ordered, schedule in _rounds(sources, order or Order()):
            with progress_bar("files") as bar:
                tally = replay(
                    ordered,
                    publisher=publisher,
                    quarantine=quarantine,
                    key=key,
                    topic=STAT if stat else FRAMES,
                    fps=fps,
                    schedule=schedule,
                    keep=names.keep,
                    progress=_shown(bar, len(ordered)),
                )
            _tell(tally)
            if names.trouble:
                say(f"names are not kept: {names.trouble}", style="yellow")
            failed = failed or bool(tally.failed)
            if not loop:
                break
    return 1 if failed else 0


def _rounds(sources: list[Source], order: Order) -> Iterator[tuple[list[Source], Schedule | None]]:
    """Yield the files for each round, and when they are due; without end."""
    schedule = None
    if order.as_acquired:
        schedule = _scheduled(sources, order.speed)
        sources = [sources[index] for index in schedule.order]
    seed = secrets.randbelow(2**32) if order.seed is None else order.seed
    chance = random.Random(seed)
    if order.shuffle:
        say(f"shuffled: --seed {seed} gives this order again")
    while True:
        yield (shuffled(sources, chance) if order.shuffle else sources), schedule


def _scheduled(sources: Sequence[Source], speed: float) -> Schedule:
    with progress_bar("files") as bar:
        task = bar.add_task("reading times", total=len(sources), note="")
        found = times_of(sources, lambda: bar.advance(task))
    schedule = as_acquired(found, speed)
    untimed = sum(one.start is None for one in found)
    say(
        f"as acquired: {_lasting(schedule.duration_s)}, longest gap "
        f"{_lasting(schedule.longest_gap_s)} (--speed divides them), {untimed} files without a time"
    )
    return schedule


def _lasting(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _shown(bar: Progress, files: int) -> Callable[[Tally], None]:
    task = bar.add_task("publishing", total=files, note="")

    def show(tally: Tally) -> None:
        note = f"{tally.frames} frames, {len(tally.failed)} unusable"
        bar.update(task, completed=tally.files, note=note)

    return show


def _tell(tally: Tally) -> None:
    for name, why in tally.failed:
        # Names of files may be names of patients: a person sees them, a log does not.
        say(f"{name if err.is_terminal else 'a file'}: {why}", style="yellow")
    say(
        f"{tally.confirmed} frames of {tally.files} files published, "
        f"{len(tally.failed)} could not become a frame"
        + (" (which: lesionstream dead-letters list)" if tally.failed else "")
    )
