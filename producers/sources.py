"""Where replayed objects come from: files, folders and zip archives, in a stable order."""

import hashlib
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from wire.errors import FrameError, Reason

ZIP_MAGIC = b"PK\x03\x04"
MAX_OBJECT_BYTES = 4 << 30
"""Largest object read from a disk or archive; a zip bomb stops here at the latest."""

_CHUNK = 1 << 20
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,  # encrypted
    NotImplementedError,  # a compression nobody here knows
    EOFError,
    IndexError,  # the archive changed meanwhile
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Source:
    """One object: a file, or a member of a zip archive.

    index : of the member in its archive: two members may have one name.
    """

    path: Path
    member: str | None = None
    index: int = 0

    @property
    def name(self) -> str:
        r"""Return how people find it again: ``archive.zip#member`` for a member.

        Bytes that are not UTF-8 are shown as ``\xff``: names go into JSON.
        """
        name = str(self.path) if self.member is None else f"{self.path}#{self.member}"
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

    def read(self) -> bytes:
        """Return all bytes.

        Raises
        ------
        FrameError   `undecodable`: cannot be read; `too-large`: over `MAX_OBJECT_BYTES`.
        """
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes piece by piece; errors as `read`."""
        return _chunks(self._open)

    def sha256(self) -> str:
        """Return the sha256 (hex) of the bytes; of the name where they cannot be read."""
        digest = hashlib.sha256()
        try:
            for chunk in self.chunks():
                digest.update(chunk)
        except FrameError:
            return hashlib.sha256(self.name.encode()).hexdigest()
        return digest.hexdigest()

    def _open(self) -> IO[bytes]:
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise OSError(0, "not a regular file")
        if self.member is None:
            return self.path.open("rb")
        return _Member(self.path, self.index)  # type: ignore[return-value]


class _Member:
    """An open member that closes its archive too."""

    def __init__(self, path: Path, index: int) -> None:
        self._archive = zipfile.ZipFile(path)
        try:
            self._file = self._archive.open(self._archive.infolist()[index])
        except BaseException:
            self._archive.close()
            raise

    def __enter__(self) -> "_Member":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._archive.close()

    def read(self, size: int) -> bytes:
        return self._file.read(size)


def _chunks(opener: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    total = 0
    try:
        with opener() as file:
            while chunk := file.read(_CHUNK):
                total += len(chunk)
                if total > MAX_OBJECT_BYTES:
                    raise FrameError(Reason.TOO_LARGE, f"more than {MAX_OBJECT_BYTES:,} bytes")
                yield chunk
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise FrameError(Reason.UNDECODABLE, f"cannot be read ({why})") from error
    except _ARCHIVE_ERRORS as error:
        raise FrameError(
            Reason.UNDECODABLE, f"archive member cannot be read ({type(error).__name__})"
        ) from error


def read_all(path: Path, first: int = 0) -> Iterator[tuple[Source, Callable[[], bytes]]]:
    """Yield the objects of one file and what reads each of them; an archive is opened only once.

    Opened for each member, an archive of thousands would take minutes.

    Parameters
    ----------
    first : number of the object to begin with.

    Raises
    ------
    FrameError   the file is gone, or an archive cannot be opened any more.
    """
    try:
        found = find([path])
        if found[0].member is None:
            yield from ((source, source.read) for source in found[first:])
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for source in found[first:]:
                opener = partial(archive.open, members[source.index])
                yield source, lambda opener=opener: b"".join(_chunks(opener))  # type: ignore[misc]
    except (OSError, *_ARCHIVE_ERRORS) as error:
        raise FrameError(Reason.UNDECODABLE, f"cannot be read ({type(error).__name__})") from error


def find(paths: Iterable[Path]) -> list[Source]:
    """Return every object at or below `paths`: sorted within a folder, archives in member order.

    Links to folders are not followed.

    Raises
    ------
    FileNotFoundError   one of `paths` does not exist.
    """
    return [source for path in paths for source in _find_one(path)]


def _find_one(path: Path) -> Iterator[Source]:
    if not path.is_dir():
        path.lstat()  # raises where there is nothing
        yield from _open_up(path)
        return
    closed: list[Source] = []
    for folder, folders, files in os.walk(
        path, onerror=lambda error: closed.append(Source(Path(error.filename)))
    ):
        folders.sort()
        for name in sorted(files):
            yield from _open_up(Path(folder, name))
    yield from closed  # folders that may not be read are not passed over in silence


def _open_up(path: Path) -> Iterator[Source]:
    """Yield the members of an archive that can be opened, else the file itself."""
    members: list[Source] = []
    if _is_zip(path):
        try:
            with zipfile.ZipFile(path) as archive:
                members = [
                    Source(path, info.filename, index)
                    for index, info in enumerate(archive.infolist())
                    if not info.is_dir()
                ]
        except (OSError, *_ARCHIVE_ERRORS):
            members = []  # a broken archive is a file that is no DICOM
    yield from members or [Source(path)]


def _is_zip(path: Path) -> bool:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(4) == ZIP_MAGIC
    except OSError:
        return False
