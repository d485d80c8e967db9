"""A key is exchanged while others read and write, and whoever is killed loses nothing."""

import fcntl
import multiprocessing
import os
import random
import signal
import stat
import threading

import pytest

from identity import vault_key
from identity.backup import back_up
from identity.pseudonyms import KeyFileError
from identity.vault import Counted, Named, Vault, VaultError
from identity.vault_key import VaultKey, rotate

DOE = Named("CANARYDOE^Jane")
ALL = {f"p-{number}": Named(f"Name{number}") for number in range(40)}

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def key(tmp_path):
    return VaultKey(tmp_path / "keys" / "vault.key", tmp_path / "state" / "vault.sqlite")


@pytest.fixture
def full(key):
    with key.open() as vault:
        for pseudonym, named in ALL.items():
            vault.put(pseudonym, named)
    return key


def names(key):
    with key.open() as vault:
        return vault.names()


def test_another_key_and_the_same_names(full):
    before = full.path.read_text()
    assert rotate(full).counted == Counted(len(ALL), 0)
    assert full.path.read_text() != before
    assert stat.S_IMODE(full.path.stat().st_mode) == 0o600
    assert not full.next.exists()
    assert names(full) == ALL
    with pytest.raises(VaultError, match="under another key"):
        Vault(full.vault, bytes.fromhex(before))


def test_no_byte_that_the_old_key_opens_is_left(full):
    old = [seal for _, seal in rows(full)]
    rotate(full)
    left = b"".join(file.read_bytes() for file in full.vault.parent.iterdir())
    assert not [seal for seal in old if seal[:24] in left]


def rows(key):
    with key.open() as vault:
        return vault._rows()


def test_who_has_it_open_goes_on_under_the_new_key(full):
    with full.open() as reader, full.open() as writer:
        assert reader.names() == ALL
        rotate(full)
        writer.put("p-new", DOE)
        assert reader.name("p-1") == ALL["p-1"]
        rotate(full)
        assert reader.names() == ALL | {"p-new": DOE}
        writer.put("p-1", Named("Married^Jane"))
    assert names(full) == ALL | {"p-new": DOE, "p-1": Named("Married^Jane")}


def write(key, name, written, stop):
    with key.open() as vault:
        while not stop.is_set():
            vault.put(f"{name}-{written.value}", Named(f"Name{written.value}"))
            written.value += 1


def test_two_processes_write_on_through_many_exchanges(full):
    stop = FORK.Event()
    written = {name: FORK.Value("i", 0) for name in "ab"}
    writers = [FORK.Process(target=write, args=(full, *w, stop)) for w in written.items()]
    for writer in writers:
        writer.start()
    exchanges = 0
    while exchanges < 12 or min(count.value for count in written.values()) < 10:
        assert rotate(full).counted.damaged == 0
        exchanges += 1
        assert all(writer.is_alive() for writer in writers)
    stop.set()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    with full.open() as vault:
        assert vault.count().damaged == 0
        found = vault.names()
    new = {
        f"{name}-{number}": Named(f"Name{number}")
        for name, count in written.items()
        for number in range(count.value)
    }
    assert found == ALL | new


def rotate_on(key):
    while True:
        rotate(key)


def test_killed_at_any_moment_every_name_opens_and_the_next_rotation_ends(full):
    chance = random.Random(8)
    rounds = interrupted = 0
    while rounds < 25 or not interrupted:  # one at least is killed half-way
        rounds += 1
        process = FORK.Process(target=rotate_on, args=(full,))
        process.start()
        process.join(chance.uniform(0.005, 0.04))
        process.kill()
        process.join()
        interrupted += full.next.exists()
        assert names(full) == ALL
        if chance.random() < 0.3:
            assert rotate(full).counted == Counted(len(ALL), 0)
            assert not full.next.exists()


def killed_in(key, function, after):
    """Be killed before or after a step of a rotation."""
    real = getattr(*function)

    def step(*args):
        if after:
            real(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(*function, step)
    rotate(key)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("function", "the_vault_has_the_new_key"),
    [
        ((vault_key, "_on_disk"), False),
        ((Vault, "rekey"), None),
        ((vault_key, "_take_place"), True),
    ],
    ids=["the new key", "the names", "the place"],
)
def test_killed_at_each_step(full, function, the_vault_has_the_new_key, after):
    process = FORK.Process(target=killed_in, args=(full, function, after))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert names(full) == ALL
    if the_vault_has_the_new_key is None:
        the_vault_has_the_new_key = after
    left = full.next.exists()
    assert left == (not (after and function[1] == "_take_place"))
    with full.open() as open_already:
        done = rotate(full)
        assert done.finished == (left and the_vault_has_the_new_key)
        assert open_already.names() == ALL
    assert not full.next.exists()
    assert names(full) == ALL


def test_one_at_a_time(full):
    with full.vault.with_name("vault.sqlite.rotating").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(VaultError, match="another process exchanges the key"):
            rotate(full)
    assert rotate(full).counted.names == len(ALL)


def test_the_old_key_can_be_kept_for_older_backups(full, tmp_path):
    backup, old = tmp_path / "backup", tmp_path / "old.key"
    back_up(full, backup)
    rotate(full, keep_old=old)
    assert stat.S_IMODE(old.stat().st_mode) == 0o600
    assert names(VaultKey(old, backup)) == ALL
    with pytest.raises(VaultError, match="under another key"):
        names(VaultKey(full.path, backup))
    before = full.path.read_text()
    with pytest.raises(VaultError, match=r"old\.key: File exists"):
        rotate(full, keep_old=old)
    assert full.path.read_text() == before, "refused before anything was done"


def test_what_is_damaged_stays_and_is_counted(full):
    with Vault(full.vault, full) as vault:
        vault._database.execute("UPDATE names SET sealed = x'00' WHERE pseudonym = 'p-3'")
        assert vault.count() == Counted(len(ALL) - 1, 1)
    assert rotate(full).counted == Counted(len(ALL) - 1, 1)
    with full.open() as vault:
        vault.put("p-3", ALL["p-3"])
    assert names(full) == ALL


def test_a_key_that_is_gone_is_not_made_anew(full):
    full.path.unlink()
    with pytest.raises(KeyFileError, match=r"is missing, and vault\.sqlite is there"):
        full.open()
    assert not full.path.exists()


def test_a_folder_that_may_not_be_written_is_said_first(full, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # we may be root
    with pytest.raises(VaultError, match="may not be written"):
        rotate(full)
    assert names(full) == ALL


def test_a_backup_is_whole_while_others_write(full, tmp_path):
    stop = threading.Event()

    def go_on():
        with full.open() as vault:
            for number in range(10_000):
                vault.put(f"w-{number}", Named(f"Name{number}"))
                if stop.is_set():
                    return

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        for number in range(5):
            to = tmp_path / f"backup-{number}"
            counted = back_up(full, to)
            assert counted.damaged == 0
            assert len(names(VaultKey(full.path, to))) == counted.names >= len(ALL)
            assert stat.S_IMODE(to.stat().st_mode) == 0o600
            assert b"Name" not in to.read_bytes()
    finally:
        stop.set()
        writer.join()
    assert {file.name for file in tmp_path.iterdir() if file.is_file()} == {
        f"backup-{number}" for number in range(5)
    }


def test_a_backup_is_never_written_over(full, tmp_path):
    to = tmp_path / "backup"
    to.write_text("precious")
    with pytest.raises(VaultError, match="is there already"):
        back_up(full, to)
    assert to.read_text() == "precious"
    with pytest.raises(VaultError, match="No such file"):
        back_up(full, tmp_path / "nowhere" / "backup")
