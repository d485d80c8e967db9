"""What the commands of the vault say, note and answer."""

import json
import sqlite3

import pytest

from identity.vault import Named
from lesionstream import cli, doctor
from lesionstream.settings import settings
from lesionstream.vault import vault_key

REASON = ["--reason", "as every night"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command on a state folder of its own."""
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path / "home"))
    settings.cache_clear()

    def command(*words):
        monkeypatch.setattr("sys.argv", ["lesionstream", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, " ".join((said.out + said.err).split())

    yield command
    settings.cache_clear()


@pytest.fixture
def home(run, tmp_path):
    """Return a state folder with a name in its vault."""
    with vault_key().open() as vault:
        vault.put("p-1", Named("CANARYDOE^Jane"))
    return tmp_path / "home"


def notes(home):
    return [json.loads(line) for line in (home / "audit.jsonl").read_text().splitlines()]


def test_without_a_vault_there_is_nothing_to_do(run, tmp_path):
    for words in (["check"], ["backup", tmp_path / "b", *REASON], ["rotate-key", *REASON]):
        code, said = run("vault", *words)
        assert code == 2
        assert "there is no vault" in said


def test_backup_check_and_rotation_are_done_said_and_noted(run, home, tmp_path):
    assert doctor._vault()[0].found == "1 names, 0 damaged; no backup is known of"
    code, said = run("vault", "backup", tmp_path / "backup", *REASON)
    assert code == 0
    assert "1 names copied" in said
    assert f"keep {home}/vault.key too, but elsewhere" in said
    assert run("vault", "backup", tmp_path / "backup", *REASON)[0] == 2
    assert run("vault", "check") == (0, "1 names open, 0 entries are damaged")
    code, said = run("vault", "rotate-key", *REASON, "--keep-old", tmp_path / "old.key")
    assert code == 0
    assert "1 names are encrypted under the key" in said
    assert (tmp_path / "old.key").exists()
    lines = notes(home)
    assert [line["what"] for line in lines] == [
        "vault backup", "vault check", "vault rotate-key", "vault rotate-key",
    ]  # fmt: skip
    assert [line["reason"] for line in lines if line["what"] != "vault check"] == [REASON[1]] * 3
    assert all(line["account"] and line["time"] for line in lines)
    (looked,) = doctor._vault()
    assert looked.found == f"1 names, 0 damaged; last backup {lines[0]['time'][:10]}"
    assert not looked.remedy
    code, said = run("reidentify", "p-1", *REASON)
    assert code == 0
    assert "CANARYDOE^Jane" in said
    assert "CANARY" not in (home / "audit.jsonl").read_text()


def test_damage_is_said_and_answered_with_1(run, home, tmp_path):
    with sqlite3.connect(home / "vault.sqlite") as database:
        database.execute("UPDATE names SET sealed = x'00'")
    code, said = run("vault", "check")
    assert code == 1
    assert "0 names open, 1 entries are damaged" in said
    assert run("vault", "backup", tmp_path / "backup", *REASON)[0] == 1
    assert "heal" in doctor._vault()[0].remedy


def test_doctor_says_that_a_rotation_was_interrupted(run, home):
    vault_key().next.write_text("ab" * 32)
    assert "rotate-key" in doctor._vault()[0].remedy
    assert run("vault", "rotate-key", *REASON)[0] == 0
    assert not doctor._vault()[0].remedy
