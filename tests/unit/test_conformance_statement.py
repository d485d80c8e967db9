"""docs/conformance.md says what the listener does."""

import re

import pytest

from benchmarks.conformance_statement import PAGE, rewritten
from producers import dicom_server, listener
from wire.part10 import MAX_FRAME_BYTES


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text()


def test_its_tables_are_those_of_the_code(page):
    assert rewritten(page) == page, "make docs"


def test_every_status_is_in_it_and_no_other(page):
    said = {int(code, 16) for code in re.findall(r"^\| ([0-9A-F]{4}) \|", page, re.MULTILINE)}
    assert said == {
        listener.SUCCESS,
        listener.SOME_FRAMES,
        listener.OUT_OF_RESOURCES,
        *listener.UNDERSTOOD_NOT.values(),
    }


@pytest.mark.parametrize(
    ("policy", "value"),
    [
        ("associations at a time", f"{listener.MAX_ASSOCIATIONS} "),
        ("maximum PDU length announced", f"{dicom_server.MAX_PDU_BYTES} bytes"),
        ("maximum PDU length announced", f"above {dicom_server.MAX_READ_BYTES} bytes"),
        ("object in one C-STORE", f"{dicom_server.MAX_OBJECT_BYTES} bytes"),
        (
            "command, and data of anything but a C-STORE",
            f"{dicom_server.MAX_READ_BYTES} bytes",
        ),
        ("requests ahead of their answers", f"than {dicom_server.MAX_AHEAD};"),
        (
            "time from the connection to the request for an association",
            f"{listener.REQUEST_S:g} s",
        ),
        ("silence, and time for one PDU", f"{dicom_server.IDLE_S:g} s"),
        ("called AE title", f"`{listener.AE_TITLE}`"),
    ],
)
def test_limits_are_those_of_the_code(page, policy, value):
    (line,) = re.findall(rf"^\| {policy} \| (.*) \|$", page, re.MULTILINE)
    assert value in line


def test_other_numbers_are_those_of_the_code(page):
    assert f"port {listener.PORT}" in page
    assert f"more than {MAX_FRAME_BYTES >> 20} MiB" in page
    assert f"at most {listener.MAX_COMMENT} characters" in page
