"""One dropped file to `frames`: read it, publish what it holds, say what became of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from producers import metrics
from producers.clearing import stamp_of
from producers.folder import Due, Step
from producers.prepare import Prepared, prepare
from producers.publisher import Publisher
from producers.quarantine import Quarantine
from producers.sources import Source, read_all
from producers.unusable import DicomObject, set_aside
from wire.decode_pool import DecodePool
from wire.errors import FrameError, Reason
from wire.topics import FRAMES, Topic

MAX_MEMBERS = 100_000
"""Of one archive. One of more is published so far, and kept as a whole."""

MAX_APART = 16
"""Of one archive: so many members that are no frames are set aside one by one, else all of it."""


class Fate(Enum):
    """What became of a file. The frames of one that is done are not confirmed yet."""

    PUBLISHED = "all of it is frames"
    SET_ASIDE = "what is no frame is in quarantine"
    TOO_LARGE_TO_KEEP = "reported, and nowhere but in its folder"
    UNUSABLE = "something in it cannot be used, perhaps not yet"
    CHANGED = "gone, or not as it was"
    UNREADABLE = "the folder's system does not let us read it"
    NOT_KEPT = "no room in quarantine"


DONE = {Fate.PUBLISHED, Fate.SET_ASIDE, Fate.TOO_LARGE_TO_KEEP}


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that was taken up. detail : why, in words without names, where it is not published."""

    fate: Fate
    frames: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _TooLarge:
    """A file that is not kept. Its id is of what the disk says of it: a hash needs its bytes."""

    name: str
    digest: str

    def sha256(self) -> str:
        return self.digest

    def chunks(self) -> Iterator[bytes]:
        raise FrameError(Reason.TOO_LARGE, "not read")


def take_apart(path: Path, key: bytes, first: int) -> Iterator[Source | Prepared | FrameError]:
    """Yield each object of a file, followed by what it becomes. A task of the decode pool.

    Parameters
    ----------
    first : number of the object to begin with.

    Raises
    ------
    FrameError   the file cannot be read.
    """
    for number, (source, read) in enumerate(read_all(path, first), first):
        if number == MAX_MEMBERS:
            yield Source(path)
            yield FrameError(Reason.TOO_LARGE, f"more than {MAX_MEMBERS:,} objects in it")
            return
        yield source
        try:
            yield from prepare(read(), key)
        except FrameError as error:
            yield error
        except MemoryError:
            yield FrameError(Reason.TOO_LARGE, "needs more memory than allowed")
        except RecursionError:
            yield FrameError(Reason.UNDECODABLE, "sequences nested too deeply")


def objects_in(
    pool: DecodePool, path: Path, key: bytes
) -> Iterator[tuple[Source, Prepared | FrameError]]:
    """Yield what each object in a file or archive becomes, and why where that is no frame.

    One that kills its decoder is passed over, and those behind it are not.

    Parameters
    ----------
    pool : runs `take_apart`.
    """
    begun = 0
    while True:
        source, first = Source(path), begun
        try:
            for item in pool.run(path, key, first):
                if isinstance(item, Source):
                    if item.path != path:  # the child was taken over: it reads no other file
                        raise FrameError(Reason.UNDECODABLE, "the decoder names another file")
                    source, begun = item, begun + 1
                else:
                    yield source, item
            return
        except FrameError as error:
            yield source, error
        if begun == first or source.member is None:
            return


class Taker:
    """Takes up dropped files.

    Parameters
    ----------
    key : of the pseudonyms.
    keep : called with each frame before it is published, to keep the patient's name.
    name_of : a name for a path that says nothing of it, as hex.
    topic : `wire.topics.STAT` where what is dropped is urgent.
    """

    def __init__(
        self,
        pool: DecodePool,
        *,
        quarantine: Quarantine,
        key: bytes,
        name_of: Callable[[str], str],
        keep: Callable[[Prepared], None] = lambda prepared: None,
        topic: Topic = FRAMES,
    ) -> None:
        self._topic = topic
        self._pool = pool
        self._quarantine = quarantine
        self._key = key
        self._name_of = name_of
        self._keep = keep

    def take(
        self, due: Due, received: datetime, publisher: Publisher, stop: Callable[[], bool]
    ) -> Taken:
        """Publish the frames of a file; what else it holds is set aside if its step says so.

        Raises
        ------
        PublishError, DecoderUnavailable   nothing is to blame on the file.
        OSError   its system does not answer.
        """
        path = Path(due.path)
        if stamp_of(path) != due.stamp:
            return Taken(Fate.CHANGED)
        try:
            path.open("rb").close()
        except FileNotFoundError:
            return Taken(Fate.CHANGED)
        frames = 0
        broken: list[tuple[Source, FrameError]] = []
        known: Source | None = None
        for source, item in objects_in(self._pool, path, self._key):
            if stop():
                return Taken(Fate.CHANGED)
            # An object is read to its end before its first frame comes: a file that is still the
            # same by then was not written to while it was read.
            if source != known and stamp_of(path) != due.stamp:
                return Taken(Fate.CHANGED, frames)
            known = source
            if isinstance(item, FrameError):
                broken.append((source, item))
            else:
                self._keep(item)
                publisher.frame(item, received, topic=self._topic)
                frames += 1
        if not broken:
            return Taken(Fate.PUBLISHED, frames)
        why = str(broken[0][1])
        if due.step is Step.PUBLISH:
            return Taken(Fate.UNUSABLE, frames, why)
        return self._set_aside(due, broken, received, publisher, frames)

    def _set_aside(
        self,
        due: Due,
        broken: list[tuple[Source, FrameError]],
        received: datetime,
        publisher: Publisher,
        frames: int,
    ) -> Taken:
        why = str(broken[0][1])
        fate = Fate.SET_ASIDE
        if len({source for source, _ in broken}) > MAX_APART:
            first = broken[0][1]
            words = f"{len(broken)} objects in it cannot be used, the first: {first.detail}"
            broken = [(Source(Path(due.path)), FrameError(first.reason, words))]
        for source, error in broken:
            kept: DicomObject = source
            unread = _unread(source)
            if unread is not None and source.member is not None:
                kept, unread = Source(source.path), _unread(Source(source.path))
            if unread is not None and unread.reason is not Reason.TOO_LARGE:
                return Taken(Fate.UNREADABLE, frames, unread.detail)
            if unread is not None:
                fate = Fate.TOO_LARGE_TO_KEEP
                kept = _TooLarge(source.name, self._name_of(due.path))
            if stamp_of(due.path) != due.stamp:
                return Taken(Fate.CHANGED, frames)
            not_kept = set_aside(
                kept,
                error,
                received,
                publisher=publisher,
                quarantine=self._quarantine,
                topic=self._topic,
            )
            if not_kept is not None:
                return Taken(Fate.NOT_KEPT, frames, not_kept)
            metrics.UNUSABLE.labels(error.reason.value).inc()
        return Taken(fate, frames, why)


def _unread(source: Source) -> FrameError | None:
    """Return why an object cannot be read to its end; None where it can."""
    try:
        for _ in source.chunks():
            pass
    except FrameError as error:
        return error
    return None
