"""What is done is remembered, and says nothing of names."""

import pytest

from producers.folder import Done, Stamp
from producers.folder_ledger import KEEP_DAYS, Ledger

KEY = b"k" * 32
CANARY = "/drop/CANARY^JANE/IM1.dcm"
DONE = Done(Stamp(3 << 30, 1_700_000_000_123_456_789))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "watch.sqlite"


def test_it_remembers_over_restarts(path):
    with Ledger(path, KEY) as ledger:
        ledger.record([(CANARY, DONE), ("/drop/b", Done(Stamp(1, 2), safe=False))], 1)
        assert ledger.recall("/drop/c") is None
    with Ledger(path, KEY) as ledger:
        assert ledger.recall(CANARY) == DONE
        assert ledger.recall("/drop/b") == Done(Stamp(1, 2), safe=False)
        ledger.forget(CANARY)
        assert ledger.recall(CANARY) is None


def test_no_path_is_in_its_files(path):
    with Ledger(path, KEY) as ledger:
        ledger.record([(CANARY, DONE)], 1)
        for file in path.parent.iterdir():
            assert b"CANARY" not in file.read_bytes()
            assert file.stat().st_mode & 0o777 == 0o600
        own = ledger.name_of(CANARY)
        with Ledger(path.with_name("other"), b"o" * 32) as other:
            assert other.name_of(CANARY) != own, "a guess needs the key"


def test_what_was_not_seen_for_long_is_forgotten(path):
    with Ledger(path, KEY) as ledger:
        ledger.record([("/drop/a", DONE), ("/drop/b", DONE)], 1)
        ledger.tidy(["/drop/a"], KEEP_DAYS)
        assert ledger.recall("/drop/b"), "a share may be away for a while"
        ledger.tidy(["/drop/a"], KEEP_DAYS + 2)
        assert ledger.recall("/drop/a")
        assert ledger.recall("/drop/b") is None


def test_a_damaged_one_is_begun_anew(path):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with Ledger(path, KEY) as ledger:
        ledger.record([("/drop/a", DONE)], 1)
        assert ledger.recall("/drop/a") == DONE
    assert path.with_name("watch.sqlite.damaged").exists()


def test_names_that_are_no_text(path):
    with Ledger(path, KEY) as ledger:
        ledger.record([("/drop/\udcff", DONE)], 1)
        assert ledger.recall("/drop/\udcff") == DONE
