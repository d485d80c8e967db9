"""`make audit` says what it did not see, and does not call that clean."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "deploy/audit.py"

CLEAN = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "skip_reason": "not found"}
FLAWED = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.fixture
def audit():
    spec = importlib.util.spec_from_file_location("audit", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("told", "code", "words"),
    [
        ([CLEAN], 0, "nothing was found"),
        ([CLEAN, SKIPPED], 3, "1 of 2 packages, nobody could be asked: b"),
        ([CLEAN, FLAWED, SKIPPED], 1, "c 2: PYSEC-1, mended in 3"),
        ([], 3, "none was read"),
    ],
)
def test_what_was_not_seen_is_not_called_clean(audit, monkeypatch, capsys, told, code, words):
    monkeypatch.setattr(audit, "packages", lambda: audit.read(told))
    monkeypatch.setattr(audit, "code", list)
    assert audit.main() == code
    said = capsys.readouterr().out
    assert words in said
    assert "Kafka's jars" in said  # what it never sees, each time
    assert ("nothing was found" in said) is (code != 1)
    assert ("not all was looked at" in said) is (code == 3)
