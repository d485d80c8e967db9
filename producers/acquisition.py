"""When a file was acquired, by what its header says. Runs in `wire.decode_pool`: a task."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

from pydicom.dataset import Dataset

from producers.order import Acquired
from producers.sources import Source
from wire import part10
from wire.decode_pool import DecodePool
from wire.errors import FrameError
from wire.frame import event_time

MAX_FRAMES = 100_000
"""Of one file whose times are told apart: a header may claim 2**31 frames."""

LONGEST_STEP_S = 3600.0
"""Between two frames of one file; what says more is no time between frames."""


def times_of(
    sources: Sequence[Source], progress: Callable[[], object] = lambda: None
) -> list[Acquired]:
    """Return when each file was acquired; what cannot be read has no time.

    Parameters
    ----------
    progress : called after each.
    """
    found = []
    with DecodePool(read_times) as pool:
        for source in sources:
            try:
                found.append(pool.one(source))
            except FrameError:
                found.append(Acquired())  # replay says what is wrong with it
            progress()
    return found


def read_times(source: Source) -> Iterator[Acquired]:
    """Yield when an object was acquired. A task of the decode pool."""
    dataset = part10.parse(source.read())
    with part10.guard("reading the times"):
        yield acquired(dataset)


def acquired(dataset: Dataset) -> Acquired:
    """Return when an object was acquired, frame by frame where it says so.

    By the time of each frame (enhanced objects), else by the time between frames (cine).
    """
    start = event_time(dataset)
    own = list(islice(_own_times(dataset), MAX_FRAMES))
    if own and None not in own:
        first = min(own)
        return Acquired(first, tuple((moment - first).total_seconds() for moment in own))
    count = min(int(dataset.get("NumberOfFrames") or 1), MAX_FRAMES)
    steps = _steps_s(dataset, count)
    return Acquired(start, tuple(accumulate(steps)))


def _own_times(dataset: Dataset) -> Iterator[Any]:
    """Yield the time of each frame, None where one has none."""
    for group in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        content = group.get("FrameContentSequence")
        stamp = content[0].get("FrameAcquisitionDateTime") if content else None
        if not stamp:
            yield None
            return
        alone = Dataset()
        alone.FrameAcquisitionDateTime = stamp
        yield event_time(alone)


def _steps_s(dataset: Dataset, count: int) -> Iterable[float]:
    """Return the time from each frame to the next, the first 0; none where it is not said."""
    vector = dataset.get("FrameTimeVector")
    try:
        if vector is not None:
            steps = [float(value) / 1000 for value in islice(_values(vector), count)]
        else:
            steps = [0.0] + [float(dataset.get("FrameTime") or 0) / 1000] * (count - 1)
    except (TypeError, ValueError):
        return ()
    good = all(math.isfinite(step) and 0 <= step <= LONGEST_STEP_S for step in steps)
    return steps if good else ()


def _values(value: Any) -> Iterable[Any]:
    return [value] if isinstance(value, str | float | int) else value
