"""Replay: DICOM files, folders and archives to `frames`, as a device would have sent them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from producers.order import Schedule
from producers.pace import AsScheduled, Pace
from producers.prepare import Prepared, prepare_source
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.sources import Source
from producers.unusable import set_aside
from wire.decode_pool import DecodePool
from wire.errors import FrameError
from wire.topics import FRAMES, Topic

SOURCE = "/lesionstream/replay"


@dataclass(slots=True)
class Tally:
    """What one replay did. `failed`: name of the source and what was wrong with it."""

    files: int = 0
    frames: int = 0
    confirmed: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def confirm(self) -> None:
        """Count one frame that the broker confirmed."""
        self.confirmed += 1


def prepared_frames(
    pool: DecodePool, source: Source, key: bytes
) -> Iterator[Prepared | FrameError]:
    """Yield the frames of a source; last, if something in it cannot become a frame, why."""
    try:
        yield from pool.run(source, key)
    except FrameError as error:
        yield error


def replay(
    sources: Sequence[Source],
    *,
    publisher: Publisher,
    quarantine: Quarantine,
    key: bytes,
    topic: Topic = FRAMES,
    fps: float | None = None,
    schedule: Schedule | None = None,
    keep: Callable[[Prepared], None] = lambda prepared: None,
    progress: Callable[[Tally], None] = lambda tally: None,
    stop: Callable[[], bool] = lambda: False,
) -> Tally:
    """Publish every frame of `sources` once, in order, and wait for the confirmations.

    Parameters
    ----------
    key : of the pseudonyms.
    topic : `wire.topics.STAT` where they are urgent.
    fps : frames a second at the most, None for as fast as the broker takes them.
    schedule : when each frame of `sources`, in this order, is due, instead of `fps`.
    keep : called with each frame before it is published, to keep the patient's name.
    progress : called after each frame and file.
    stop : asked after each frame; True ends the replay early.

    Raises
    ------
    PublishError   the broker does not take the frames.
    """
    tally = Tally()
    pace, timed = Pace(fps), AsScheduled(schedule) if schedule else None
    with DecodePool(prepare_source) as pool:
        for number, source in enumerate(sources):
            for frame, item in enumerate(prepared_frames(pool, source, key)):
                if stop():
                    break
                if timed is not None:
                    timed.wait(number, frame)
                pace.wait()
                received = datetime.now(UTC)
                if isinstance(item, FrameError):
                    words = _set_aside(source, item, received, publisher, quarantine, topic)
                    tally.failed.append((source.name, words))
                else:
                    keep(item)
                    publisher.frame(item, received, tally.confirm, topic)
                    tally.frames += 1
                progress(tally)
            tally.files += 1
            progress(tally)
            if stop():
                break
        publisher.flush()
    progress(tally)
    return tally


def _set_aside(
    source: Source,
    error: FrameError,
    received: datetime,
    publisher: Publisher,
    quarantine: Quarantine,
    topic: Topic,
) -> str:
    """Keep and report what could not become a frame; return what went wrong."""
    not_kept = set_aside(
        source, error, received, publisher=publisher, quarantine=quarantine, topic=topic
    )
    return f"{error}; {not_kept}" if not_kept else str(error)
