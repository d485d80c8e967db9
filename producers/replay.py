"""Replay: DICOM files, folders and archives to `frames`, as a device would have sent them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from producers.prepare import Prepared, prepare_source
from producers.publisher import Publisher
from producers.quarantine import Quarantine, QuarantineFull
from producers.sources import Source
from wire.decode_pool import DecodePool
from wire.errors import FrameError
from wire.ids import payload_id_of

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
    fps: float | None = None,
    progress: Callable[[Tally], None] = lambda tally: None,
    stop: Callable[[], bool] = lambda: False,
) -> Tally:
    """Publish every frame of `sources` once, in order, and wait for the confirmations.

    Parameters
    ----------
    key : of the pseudonyms.
    fps : frames a second at the most, None for as fast as the broker takes them.
    progress : called after each frame and file.
    stop : asked after each frame; True ends the replay early.

    Raises
    ------
    PublishError   the broker does not take the frames.
    """
    tally = Tally()
    pace = _Pace(fps)
    with DecodePool(prepare_source) as pool:
        for source in sources:
            for item in prepared_frames(pool, source, key):
                if stop():
                    break
                pace.wait()
                received = datetime.now(UTC)
                if isinstance(item, FrameError):
                    _report(source, item, received, publisher, quarantine, tally)
                else:
                    publisher.frame(item, received, tally.confirm)
                    tally.frames += 1
                progress(tally)
            tally.files += 1
            progress(tally)
            if stop():
                break
        publisher.flush()
    progress(tally)
    return tally


def _report(
    source: Source,
    error: FrameError,
    received: datetime,
    publisher: Publisher,
    quarantine: Quarantine,
    tally: Tally,
) -> None:
    """Keep what could not become a frame, say so on Kafka and in the tally."""
    sha256 = source.sha256()
    words = str(error)
    kept: str | None = None
    try:
        kept = quarantine.put(sha256, source.chunks(), error, source.name).sha256
    except FrameError:
        pass  # cannot be read: that is what `error` says, and there is nothing to keep
    except (QuarantineFull, OSError) as problem:
        words += f"; not kept in quarantine: {problem}"
    number = error.about.frame_number if error.about else None
    frame_id = str(payload_id_of(sha256, number))
    publisher.unusable(frame_id, error, received, quarantine=kept)
    tally.failed.append((source.name, words))


class _Pace:
    """Let at most `fps` frames a second pass."""

    def __init__(self, fps: float | None) -> None:
        self._interval_s = 1 / fps if fps else 0.0
        self._next_s = time.monotonic()

    def wait(self) -> None:
        now = time.monotonic()
        if self._next_s > now:
            time.sleep(self._next_s - now)
        self._next_s = max(now, self._next_s) + self._interval_s
