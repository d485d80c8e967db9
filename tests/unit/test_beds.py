"""A list of beds is taken as a whole, or not at all."""

import pytest

from identity.beds import BedsError, read_beds
from identity.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(b"k" * 32)
ONE, TWO = PSEUDONYMS.patient("", "P1"), PSEUDONYMS.patient("CLINIC", "P2")


def beds(tmp_path, words, pseudonyms=PSEUDONYMS):
    path = tmp_path / "beds.csv"
    path.write_bytes(words.encode() if isinstance(words, str) else words)
    return read_beds(path, pseudonyms)


@pytest.mark.parametrize(
    "words",
    [
        "P1,12\nP2,window 3,CLINIC\n",
        "PatientID,bed,issuer\nP1, 12\n\nP2,window 3,CLINIC\n",
        "PatientID;bed\r\nP1;12\r\nP2;window 3;CLINIC\r\n",
        f'{ONE},12\n"{TWO}","window 3"',
        "\ufeffP1,12\nP2,window 3,CLINIC\nP1,12\n",
    ],
    ids=["plain", "with a header", "of a spreadsheet", "pseudonyms", "byte order mark, twice"],
)
def test_beds_by_pseudonym(tmp_path, words):
    assert beds(tmp_path, words) == {ONE: "12", TWO: "window 3"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("P1,12\nP2\n", "line 2: expected PatientID,bed"),
        ("P1,12\n,13\n", "line 2: expected"),
        ("P1,12\nP2,13,X,Y\n", "line 2: expected"),
        ("P1,12\n\nP2,12\n", "line 3: bed 12 is taken by line 1"),
        ("P1,12\nP1,13\n", "line 2: this patient lies in bed 12 already"),
        ('P1,12\nP2,"13\n', "line 2: "),
        (b"P1,12\nP\xff,13\n", "is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, words, why):
    with pytest.raises(BedsError, match=why):
        beds(tmp_path, words)


def test_a_patient_id_needs_the_key(tmp_path):
    assert beds(tmp_path, f"{ONE},12", None) == {ONE: "12"}
    with pytest.raises(BedsError, match="line 1: is no pseudonym"):
        beds(tmp_path, "P1,12", None)


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(BedsError, match="No such file"):
        read_beds(tmp_path / "none.csv")
