"""One dropped file: what is in it comes out, and what cannot is kept, whatever it does."""

import os
import signal
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.phantoms import chest_hu, dataset, part10

from producers import dropped
from producers.clearing import stamp_of
from producers.dropped import Fate, Taker, take_apart
from producers.folder import Due, Step
from producers.prepare import Prepared
from producers.quarantine import Quarantine
from producers.sources import Source
from wire.decode_pool import DecodePool
from wire.errors import FrameError, Reason
from wire.topics import FRAMES, STAT

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(60)]

KEY = b"k" * 32
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deadly(path: Path, key: bytes, first: int) -> Iterator[Source | Prepared | FrameError]:
    """As `take_apart`; a member called deadly kills its process, as a hostile one would."""
    for item in take_apart(path, key, first):
        yield item
        if isinstance(item, Source) and item.member == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def pool():
    with DecodePool(deadly) as pool:
        yield pool


class Sent:
    """Takes what a publisher takes."""

    def __init__(self):
        self.subjects, self.letters, self.topics = [], [], set()

    def frame(self, prepared, received, topic):
        self.subjects.append(prepared.subject)
        self.topics.add(topic)

    def unusable(self, payload_id, error, received, *, quarantine):
        self.letters.append((error.reason, quarantine is not None))


@pytest.fixture
def take(pool, tmp_path):
    """Return a function that takes a file up, and the quarantine it uses."""
    quarantine = Quarantine(tmp_path / "quarantine")
    taker = Taker(pool, quarantine=quarantine, key=KEY, name_of=lambda path: "0" * 32)

    def take(path, step=Step.PUBLISH_OR_SET_ASIDE, stamp=None, sent=None):
        sent = sent or Sent()
        due = Due(str(path), stamp or stamp_of(path), step, 0.0)
        return taker.take(due, NOW, sent, lambda: False), sent

    take.quarantine = quarantine
    return take


def image(number):
    return part10(dataset(chest_hu(number, size=32), SOPInstanceUID=f"1.2.{number}"))


def test_what_is_dropped_is_urgent_where_the_folder_is(take, pool, tmp_path):
    path = tmp_path / "1.dcm"
    path.write_bytes(image(1))
    _, sent = take(path)
    assert sent.topics == {FRAMES}
    due = Due(str(path), stamp_of(path), Step.PUBLISH, 0.0)
    urgent = Taker(pool, quarantine=take.quarantine, key=KEY, name_of=str, topic=STAT)
    assert urgent.take(due, NOW, sent, lambda: False).frames == 1
    assert sent.topics == {FRAMES, STAT}


def packed(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_member_that_kills_its_decoder_kills_no_other(take, tmp_path):
    path = packed(tmp_path / "a.zip", one=image(1), deadly=b"x", two=image(2), three=image(3))
    taken, sent = take(path)
    assert (taken.fate, taken.frames) == (Fate.SET_ASIDE, 3)
    assert sent.subjects == ["1.2.1/1", "1.2.2/1", "1.2.3/1"]
    assert sent.letters == [(Reason.UNDECODABLE, True)]
    (entry,) = take.quarantine.entries()
    assert entry.source == f"{path}#deadly"


def test_an_archive_full_of_other_things_is_kept_as_a_whole(take, tmp_path, monkeypatch):
    monkeypatch.setattr(dropped, "MAX_APART", 3)
    members = {f"{number}.txt": b"for people" for number in range(4)}
    path = packed(tmp_path / "a.zip", image=image(1), **members)
    taken, sent = take(path)
    assert taken.frames == len(sent.subjects) == 1
    assert len(sent.letters) == 1
    (entry,) = take.quarantine.entries()
    assert entry.source == str(path)
    assert entry.detail.startswith("4 objects")


def test_a_damaged_member_takes_its_archive_to_quarantine(take, tmp_path):
    """Its own bytes cannot be had: deleted, they would lie nowhere."""
    path = packed(tmp_path / "a.zip", one=image(1), two=image(2))
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    taken, sent = take(path)
    assert (taken.fate, sent.subjects) == (Fate.SET_ASIDE, ["1.2.2/1"])
    (entry,) = take.quarantine.entries()
    assert take.quarantine.path(entry.sha256).read_bytes() == data


def test_at_first_nothing_is_set_aside(take, tmp_path):
    path = tmp_path / "cut.dcm"
    path.write_bytes(image(1)[:-100])
    taken, sent = take(path, Step.PUBLISH)
    assert taken.fate is Fate.UNUSABLE
    assert sent.letters == take.quarantine.entries() == []


def test_what_is_too_large_to_keep_is_reported(take, tmp_path, monkeypatch):
    monkeypatch.setattr("producers.sources.MAX_OBJECT_BYTES", 10)
    path = tmp_path / "large"
    path.write_bytes(b"no DICOM at all")
    taken, sent = take(path)
    assert taken.fate is Fate.TOO_LARGE_TO_KEEP
    assert sent.letters == [(Reason.UNDECODABLE, False)]
    assert take.quarantine.entries() == []


def test_what_changes_while_it_is_read_is_not_published(take, tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(image(1))
    before = stamp_of(path)
    path.write_bytes(image(2) + b"\0\0")
    taken, sent = take(path, stamp=before)
    assert (taken.fate, sent.subjects) == (Fate.CHANGED, [])
    packed(tmp_path / "a.zip", one=image(1), two=image(2))

    class Overwritten(Sent):
        def frame(self, prepared, received, topic):
            super().frame(prepared, received, topic)
            packed(tmp_path / "a.zip", other=image(3))

    taken, sent = take(tmp_path / "a.zip", sent=Overwritten())
    assert (taken.fate, sent.subjects) == (Fate.CHANGED, ["1.2.1/1"])


def test_what_is_gone_is_gone(take, tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(image(1))
    before = stamp_of(path)
    path.unlink()
    taken, _ = take(path, stamp=before)
    assert taken.fate is Fate.CHANGED
