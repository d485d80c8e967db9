"""What becomes of a dropped file once it is done: it stays, moves elsewhere, or is deleted.

A file that changed after it was published is left alone. Only between the last look at it and the
call that removes it, some microseconds, could another take its place unseen.
"""

import filecmp
import os
import shutil
from collections.abc import Callable, Sequence
from errno import EXDEV
from pathlib import Path

from producers.folder import Stamp

Clear = Callable[[str, Stamp], bool]
"""Clears a file away; False where it is not there any more, or not as it was. Raises OSError."""


def stamp_of(path: str | Path) -> Stamp | None:
    """Return the stamp of a file; None where there is none.

    Raises
    ------
    OSError   it cannot be looked at: a share is away, a folder may not be read.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stamp(found.st_size, found.st_mtime_ns)


def delete(path: str, stamp: Stamp) -> bool:
    """Delete a file. Folders stay: devices write into them."""
    if stamp_of(path) != stamp:
        return False
    os.unlink(path)
    return True


def move_to(target: Path, roots: Sequence[Path]) -> Clear:
    """Return what moves files below one of `roots` to the same relative path below `target`.

    A file there of the same name and other content stays: devices use names again and again. The
    one that comes gets a number.
    """

    def move(path: str, stamp: Stamp) -> bool:
        if stamp_of(path) != stamp:
            return False
        root = next(root for root in roots if Path(path).is_relative_to(root))
        _move(Path(path), _free(target / Path(path).relative_to(root), path), stamp)
        return True

    return move


def _free(wanted: Path, path: str) -> Path:
    """Return the first name that nobody has, or that has the same content already."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    place, number = wanted, 1
    while os.path.lexists(place) and not _same(place, path):
        number += 1
        place = wanted.with_name(f"{wanted.stem}.{number}{wanted.suffix}")
    return place


def _same(place: Path, path: str) -> bool:
    return place.is_file() and filecmp.cmp(place, path, shallow=False)


def _move(path: Path, place: Path, stamp: Stamp) -> None:
    try:
        os.rename(path, place)
    except OSError as error:
        if error.errno != EXDEV:
            raise
        _move_across(path, place, stamp)


def _move_across(path: Path, place: Path, stamp: Stamp) -> None:
    """Move to another file system: what is there under its name is whole, and on the disk."""
    draft = place.with_name(f".{place.name}.part")
    shutil.copy2(path, draft)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    if stamp_of(path) == stamp:
        os.unlink(path)
