"""What a worker had in hand when it died is known to the next one."""

import json
import os
import subprocess
import sys

import pytest

from stream.strikes import MOST, Strikes

NAME = "d5c2 lesion 1.0.0"
DIE = """
import os, sys
from pathlib import Path
from stream.strikes import Strikes
Strikes(Path(sys.argv[1])).begin(sys.argv[2])
os.kill(os.getpid(), 9)
"""


def die_over(folder, name):
    subprocess.run([sys.executable, "-c", DIE, str(folder), name], check=False)


def test_each_death_over_a_frame_is_counted(tmp_path):
    for times in range(1, MOST + 1):
        die_over(tmp_path, NAME)
        after = Strikes(tmp_path)
        assert after.begin(NAME) == times
        after.end()
    assert Strikes(tmp_path).begin("another") == 0


def test_who_works_already_learns_of_it_when_the_next_one_starts(tmp_path):
    working = Strikes(tmp_path)
    assert working.begin("another") == 0
    die_over(tmp_path, NAME)
    Strikes(tmp_path)  # the one that was started instead
    assert working.begin(NAME) == 1
    working.end()
    working.settle(NAME)
    assert Strikes(tmp_path).begin(NAME) == 0


def test_a_disk_that_refuses_later_keeps_no_frame_from_being_scored(tmp_path):
    strikes = Strikes(tmp_path / "strikes")
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, strikes._file)
    os.close(full)
    assert strikes.begin(NAME) == 0
    strikes.end()
    strikes.settle(NAME)


def test_who_lives_or_had_nothing_in_hand_is_not_counted(tmp_path):
    living = Strikes(tmp_path)
    living.begin(NAME)
    die_over(tmp_path, " ")
    assert Strikes(tmp_path).begin(NAME) == 0


def test_what_was_answered_begins_anew_once_it_is_settled(tmp_path):
    die_over(tmp_path, NAME)
    strikes = Strikes(tmp_path)
    strikes.begin(NAME)
    strikes.end()
    assert Strikes(tmp_path).begin(NAME) == 1, "it is not acknowledged"
    strikes.settle(NAME)
    assert strikes.begin(NAME) == 0
    assert json.loads((tmp_path / "strikes.json").read_text()) == {}


@pytest.mark.parametrize("damaged", ["", "[]", '{"a": []}', "\x00"])
def test_a_damaged_ledger_stops_nobody(tmp_path, damaged):
    (tmp_path / "strikes.json").write_text(damaged)
    assert Strikes(tmp_path).begin(NAME) == 0


def test_a_folder_that_cannot_be_made_stops_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    strikes = Strikes(tmp_path / "file" / "below")
    assert strikes.begin(NAME) == 0
    strikes.end()
    strikes.settle(NAME)
