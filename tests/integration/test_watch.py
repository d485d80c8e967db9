"""Devices drop files: each image arrives, whatever is half written, renamed, broken or killed."""

import json
import os
import secrets
import signal
import time
import urllib.request
import zipfile
from types import SimpleNamespace

import pytest
from support.phantoms import chest_hu, dataset, part10
from support.stack import Stack, eventually

from producers.clearing import delete, move_to
from producers.dropped import Taker, take_apart
from producers.folder_ledger import Ledger
from producers.folder_watch import BATCH, SOURCE, FolderWatch
from producers.prepare import prepare
from producers.publisher import Publisher, PublishError
from producers.quarantine import Quarantine
from wire import topic_admin
from wire.cluster import Cluster
from wire.dead_letters import DeadLetter
from wire.decode_pool import DecodePool
from wire.envelope import Envelope
from wire.topics import FRAMES, TOPICS, Names

pytestmark = [pytest.mark.timeout(120), pytest.mark.filterwarnings("ignore")]

KEY = b"k" * 32
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
SETTLE_S, PATIENCE_S = 0.3, 1.5
WITHIN_S = 30


@pytest.fixture(scope="module")
def pool():
    with DecodePool(take_apart) as pool:
        yield pool


class Since:
    """What came to a stack's topics since this was made: tests share one, it takes seconds."""

    def __init__(self, stack):
        self.stack = stack
        self._frames, self._letters = len(stack.records(FRAMES)), len(stack.dead_letters())

    def frames(self):
        return self.stack.records(FRAMES)[self._frames :]

    def frame_ids(self):
        return [str(Envelope.of(r.headers).id) for r in self.frames()]

    def dead_letters(self):
        return self.stack.dead_letters()[self._letters :]


@pytest.fixture(scope="module")
def shared(servers, tmp_path_factory):
    names = Names(f"t{secrets.token_hex(4)}-")
    topic_admin.create(Cluster.plain(servers.kafka), names)
    stack = Stack(servers.kafka, servers.redis, names, tmp_path_factory.mktemp("shared"))
    yield stack
    stack.close()


@pytest.fixture
def since(shared):
    return Since(shared)


@pytest.fixture
def watching(shared, tmp_path, pool):
    """Return a function that begins to watch `tmp_path / drop`; each is a process of its own."""
    drop = tmp_path / "drop"
    drop.mkdir()
    ledgers = []
    publishers = []

    def connect():
        cluster = Cluster.plain(shared.kafka)
        publishers.append(Publisher(cluster, names=shared.names, source=SOURCE))
        return publishers[-1]

    def start(clear=None, connect=connect, quarantine_bytes=1 << 20):
        ledgers.append(Ledger(tmp_path / "watch.sqlite", KEY))
        quarantine = Quarantine(tmp_path / "quarantine", quarantine_bytes)
        watch = FolderWatch(
            [drop],
            connect,
            taker=Taker(pool, quarantine=quarantine, key=KEY, name_of=ledgers[-1].name_of),
            ledger=ledgers[-1],
            settle_s=SETTLE_S,
            patience_s=PATIENCE_S,
            clear=clear,
        )

        def until(condition, what):
            def stepped():
                watch._look_s = 0.0  # at once, not each second
                watch._thorough_s = 0.0
                watch.step(time.monotonic())
                return condition()

            eventually(stepped, within_s=WITHIN_S, what=what)

        return SimpleNamespace(watch=watch, until=until, connect=connect)

    start.drop = drop
    start.connect = connect
    yield start
    for opened in [*publishers, *ledgers]:
        opened.close()


def image(number, **attributes):
    return part10(dataset(chest_hu(number, size=32), SOPInstanceUID=f"1.2.{number}", **attributes))


def ids(*objects):
    """Return the ids of the frames of objects."""
    return {frame.frame_id for data in objects for frame in prepare(data, KEY)}


def test_every_way_to_drop_a_file(watching, since, tmp_path):
    drop, one = watching.drop, watching()
    images = [image(number) for number in range(6)]
    (drop / "whole.dcm").write_bytes(images[0])
    (drop / "sub" / "folder").mkdir(parents=True)
    (drop / "sub" / "folder" / "IM1").write_bytes(images[1])
    with zipfile.ZipFile(drop / "two.zip", "w") as archive:
        archive.writestr("a", images[2])
        archive.writestr("b", images[3])
    (drop / "renamed.dcm.part").write_bytes(images[4])
    (drop / "link").symlink_to(tmp_path)
    os.mkfifo(drop / "pipe")
    with (drop / "slow.dcm").open("wb") as slow:
        slow.write(images[5][:1000])
        slow.flush()
        one.until(lambda: one.watch.published == 3, "the whole ones are published")
        assert set(since.frame_ids()) == ids(*images[:4])
        assert one.watch.links == 2
        slow.write(images[5][1000:])
    (drop / "renamed.dcm.part").rename(drop / "renamed.dcm")
    one.until(lambda: one.watch.published == 5, "the slow and the renamed one are")
    (drop / "whole.dcm").rename(drop / "other.dcm")
    (drop / "slow.dcm").write_bytes(image(7))  # the device uses a name again
    one.until(lambda: one.watch.published == 7, "renamed again, and changed")
    sent = since.frame_ids()
    assert len(sent) == 8
    assert set(sent) == ids(*images, image(7))
    assert since.dead_letters() == []
    assert not Quarantine(tmp_path / "quarantine").entries()

    again = watching()
    again.until(lambda: again.watch.waiting == 0, "all is remembered")
    assert again.watch.published == 0
    assert len(since.frame_ids()) == 8


def test_what_is_no_frame_is_set_aside_after_patience(watching, since, tmp_path):
    drop = watching.drop
    one = watching(delete, quarantine_bytes=100_000)
    began = time.monotonic()
    report = dataset(chest_hu(0, size=8), SOPInstanceUID="1.2.99", SOPClassUID=REPORT)
    del report.PixelData
    (drop / "report.dcm").write_bytes(part10(report))
    (drop / "cut.dcm").write_bytes(image(1)[:1000])
    (drop / "large.dcm").write_bytes(b"no DICOM" * 20_000)
    with zipfile.ZipFile(drop / "mixed.zip", "w") as archive:
        archive.writestr("image", image(2))
        archive.writestr("readme.txt", b"for people")
    one.until(lambda: one.watch.unusable == 3, "what is no frame is set aside")
    assert time.monotonic() - began >= PATIENCE_S
    assert set(since.frame_ids()) == ids(image(2))
    kept = {entry.sha256: entry for entry in Quarantine(tmp_path / "quarantine").entries()}
    assert len(kept) == 3
    letters = [DeadLetter.of(r.key, r.value, r.headers) for r in since.dead_letters()]
    assert {letter.quarantine for letter in letters} == {*kept, None}
    assert [file.name for file in drop.iterdir()] == ["large.dcm"], "there is no room to keep it"
    one.until(lambda: "no room in quarantine" in str(one.watch.trouble), "it is said")


def test_files_move_once_they_are_confirmed(watching, since, tmp_path, monkeypatch):
    monkeypatch.setattr("producers.folder_watch.AGAIN_S", 0.1)
    drop = watching.drop
    (drop / "a").mkdir()
    (drop / "a" / "1.dcm").write_bytes(image(1))
    (drop / "2.dcm").write_bytes(image(2))

    class Gone:
        """A publisher whose broker goes away before it confirms."""

        def __init__(self):
            self.inner = watching.connect()

        def frame(self, *args, **more):
            self.inner.frame(*args, **more)

        def flush(self):
            raise PublishError("gone")

        def close(self):
            self.inner.close()

    connected = []

    def connect():
        connected.append(watching.connect() if connected else Gone())
        return connected[-1]

    one = watching(move_to(tmp_path / "done", [drop]), connect)
    one.until(lambda: one.watch.trouble, "the broker is gone")
    assert one.watch.waiting == 2
    assert not (tmp_path / "done").exists()
    one.until(lambda: one.watch.waiting == 0, "it is back")
    assert len(connected) == 2
    assert one.watch.trouble == ()
    assert (tmp_path / "done" / "a" / "1.dcm").read_bytes() == image(1)
    assert (tmp_path / "done" / "2.dcm").read_bytes() == image(2)
    assert not list(drop.rglob("*.dcm"))
    assert set(since.frame_ids()) == ids(image(1), image(2))


def test_a_folder_that_goes_away_is_waited_for(watching, since, tmp_path):
    drop, one = watching.drop, watching()
    (drop / "1.dcm").write_bytes(image(1))
    one.until(lambda: one.watch.published == 1, "published")
    drop.rename(tmp_path / "away")
    one.until(lambda: one.watch.trouble, "it is said")
    (tmp_path / "away" / "2.dcm").write_bytes(image(2))
    (tmp_path / "away").rename(drop)
    one.until(lambda: one.watch.published == 2, "it is back")
    assert one.watch.trouble == ()
    assert sorted(since.frame_ids()) == sorted(ids(image(1), image(2))), "nothing was sent again"


def test_killed_in_the_middle_it_goes_on_where_it_was_and_says_no_name(shared, since, tmp_path):
    drop = tmp_path / "drop"
    (drop / "CANARY^JANE").mkdir(parents=True)

    def drop_images(numbers):
        for number in numbers:
            data = image(number, PatientName="CANARY^JANE", PatientID="CANARY-1")
            (drop / "CANARY^JANE" / f"CANARY-{number}.dcm").write_bytes(data)

    drop_images(range(80))
    words = ("watch", drop, "--settle", "0.2", "--patience", "1")
    first = shared.start(*words)
    eventually(lambda: len(since.frame_ids()) > BATCH, within_s=60, what="it is in the middle")
    shared.kill(first)
    drop_images(range(80, 100))
    (drop / "CANARY.txt").write_bytes(b"for people")
    second = shared.start(*words)

    def said(path):
        """Return what the second process says of itself."""
        try:
            (file,) = (shared.folder / "home" / "run").glob(f"watch@*-{second.pid}.json")
            (place,) = json.loads(file.read_text())[0]["targets"]
            with urllib.request.urlopen(f"http://{place}{path}", timeout=5) as answer:
                return answer.read().decode()
        except (ValueError, OSError):
            return None

    def all_done():
        found = said("/ready")
        return found and json.loads(found)["facts"]["waiting"] == 0 and since.dead_letters()

    eventually(all_done, within_s=60, what="it is ready, and nothing waits")
    assert {Envelope.of(r.headers).subject for r in since.frames()} == {
        f"1.2.{number}/1" for number in range(100)
    }
    assert 20 <= json.loads(said("/live"))["facts"]["published"] < 100, "it went on where it was"
    metrics = said("/metrics")
    assert 'lesionstream_watched_files_total{outcome="unusable"} 1.0' in metrics
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 0

    records = [record for topic in TOPICS for record in shared.records(topic)]
    public = [b"".join([r.key or b"", r.value or b"", repr(r.headers).encode()]) for r in records]
    public += [log.read_bytes() for log in shared.folder.glob("*.log")]
    home = shared.folder / "home"
    public += [
        file.read_bytes()
        for file in home.rglob("*")
        if file.is_file() and file.parent.name != "quarantine"
    ]
    assert b"not a frame" in b"".join(public)
    assert b"CANARY" not in b"".join(public) + metrics.encode()
    (side_car,) = (home / "quarantine").glob("*.json")
    assert "CANARY" in side_car.read_text()
    assert side_car.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "no folder"),
        (["in", "--delete", "--move-to", "out"], "one way"),
        (["in", "--move-to", "in/out"], "come twice"),
        (["in", "in/sub"], "come twice"),
        (["home"], "state folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(words, told, tmp_path, monkeypatch, capsys):
    from lesionstream import cli
    from lesionstream.settings import settings

    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.argv", ["lesionstream", "watch", *words])
    settings.cache_clear()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    settings.cache_clear()
    assert ended.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())
