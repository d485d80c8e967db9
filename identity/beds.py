"""Which patient lies in which bed: a list that the ward keeps, as CSV."""

import csv
import io
import re
from pathlib import Path

from identity.pseudonyms import Pseudonyms

_PSEUDONYM = re.compile(r"[psh]-[0-9a-f]{32}")
_HEADER = "patientid"


class BedsError(Exception):
    """The list of beds cannot be read, or a line of it is wrong.

    Operator action: correct the line that is named. Lines are ``PatientID,bed``, or
    ``PatientID,bed,issuer`` where devices send an IssuerOfPatientID; a pseudonym is taken, too.
    """


def read_beds(path: Path, pseudonyms: Pseudonyms | None = None) -> dict[str, str]:
    """Return the bed of each patient, by pseudonym.

    Parameters
    ----------
    pseudonyms : to find the pseudonym of a PatientID; None where only pseudonyms are listed.

    Raises
    ------
    BedsError   it cannot be read, or a line is wrong; no bed is better than a wrong one.
    """
    try:
        words = path.read_text("utf-8-sig")
    except OSError as error:
        raise BedsError(f"list of beds {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BedsError(f"list of beds {path} is not UTF-8") from error
    beds: dict[str, str] = {}
    taken: dict[str, int] = {}
    delimiter = ";" if ";" in words.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(words, newline=""), delimiter=delimiter, strict=True)
    line = 0
    try:
        for row in reader:
            line = reader.line_num
            cells = [cell.strip() for cell in row]
            if not any(cells) or (line == 1 and cells[0].lower() == _HEADER):
                continue
            patient, bed = _entry(cells, pseudonyms)
            if patient in beds and beds[patient] != bed:
                raise ValueError(f"this patient lies in bed {beds[patient]} already")
            if taken.setdefault(bed, line) != line and patient not in beds:
                raise ValueError(f"bed {bed} is taken by line {taken[bed]}")
            beds[patient] = bed
    except (ValueError, csv.Error) as error:
        raise BedsError(
            f"list of beds {path}, line {max(line, reader.line_num)}: {error}"
        ) from error
    return beds


def _entry(cells: list[str], pseudonyms: Pseudonyms | None) -> tuple[str, str]:
    """Return (pseudonym, bed) of a line.

    Raises
    ------
    ValueError   in words what is wrong with it.
    """
    if not 2 <= len(cells) <= 3 or not cells[0] or not cells[1]:
        raise ValueError("expected PatientID,bed or PatientID,bed,issuer")
    patient, bed, issuer = (*cells, "")[:3]
    if _PSEUDONYM.fullmatch(patient):
        return patient, bed
    if pseudonyms is None:
        raise ValueError("is no pseudonym, and the key of the pseudonyms is not here")
    return pseudonyms.patient(issuer, patient), bed
