"""What becomes of real files by C-STORE and by replay is what docs/conformance-files.md says."""

import re

import pytest
from pynetdicom import AE

from benchmarks.conformance import KEPT, PAGE, Bench, files_in
from benchmarks.conformance_page import KINDS, kind, line, page, syntax_name
from benchmarks.sending import TITLE, header_of
from producers.listener import AE_TITLE
from producers.storage_classes import SYNTAXES
from wire.codecs import DECODED

pytestmark = pytest.mark.filterwarnings("ignore")

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
MPEG4 = "1.2.840.10008.1.2.4.102"
CT = "1.2.840.10008.5.1.4.1.1.2"

HOSTILE = """
    dwv__dwv-test_no-number-rows.dcm fodicom__GH1146.dcm fodicom__GH340.dcm fodicom__genFile.dcm
    fodicom__GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm
    orthanc__2026-05-26-oob-monochrome-46341.dcm orthanc__2026-05-26-oob-monochrome-65535.dcm
    orthanc__2026-05-06-Deeply-Nested-Sequence.dcm orthanc__MultiframeWindowing.dcm
    orthanc__ZeissOCT-cfind-query.dcm pydicom__JPEG2000-embedded-sequence-delimiter.dcm
    pydicom__MR_truncated.dcm pydicom__badVR.dcm pydicom__meta_missing_tsyntax.dcm
    pydicom__no_meta.dcm pydicom__rtplan_truncated.dcm pydicomdata__bad_sequence.dcm
    pydicomdata__emri_small_jpeg_2k_lossless_too_short.dcm
""".split()
"""Broken, lying or no DICOM."""


@pytest.fixture(scope="module")
def files(data):
    """Return the files."""
    folder = data / "dicom"
    if not folder.is_dir():
        pytest.skip("no folder `dicom` among the labelled images (docs/data.md)")
    return files_in(folder)


@pytest.fixture
def at_work(stack, tmp_path):
    """Yield a listener and a replay."""
    with Bench(stack.kafka, stack.names, tmp_path) as made:
        yield made


def some_of(files):
    """Return what is hostile, and of each transfer syntax the smallest file that is taken."""
    taken = set(re.findall(r"^\| `(.+)` \| .* \| 0000 \|", PAGE.read_text(), re.MULTILINE))
    smallest = {}
    for path in sorted(files, key=lambda path: (path.stat().st_size, path.name)):
        if path.name in taken:
            smallest.setdefault(header_of(path).syntax, path)
    return [path for path in files if path.name in HOSTILE or path in smallest.values()]


def test_files_of_each_syntax_and_hostile_ones_end_as_documented(files, at_work):
    rows = at_work.rows(some_of(files))
    assert at_work.lost(rows) == []
    assert {kind(row) for row in rows} == set(KINDS) - {"some frames refused"}
    assert {row.syntax for row in rows if row.stored.status in KEPT} == set(SYNTAXES) - NOT_THERE
    documented = set(PAGE.read_text().splitlines())
    other = [line(row) for row in rows if line(row) not in documented]
    assert other == [], "make conformance"


NOT_THERE = {"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.202"}
"""Transfer syntaxes taken, of which the set has no file."""


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_every_file_ends_as_documented(files, at_work):
    rows = at_work.rows(files)
    assert at_work.lost(rows) == []
    assert page(rows) == PAGE.read_text(), "make conformance"


def test_what_is_not_offered_is_rejected_at_negotiation(at_work):
    """Storage Commitment: this is no archive. MPEG: nobody here decodes it."""
    ae = AE(TITLE)
    ae.add_requested_context(STORAGE_COMMITMENT)
    ae.add_requested_context(CT, MPEG4)
    ae.add_requested_context(CT, "1.2.840.10008.1.2")
    association = ae.associate(*at_work.address, ae_title=AE_TITLE)
    assert association.is_established
    accepted = {context.abstract_syntax for context in association.accepted_contexts}
    refused = {
        (str(context.abstract_syntax), context.result) for context in association.rejected_contexts
    }
    association.release()
    assert accepted == {CT}
    assert refused == {(STORAGE_COMMITMENT, 3), (CT, 4)}  # PS3.8 Table 9-18


def test_what_is_offered_can_be_decoded():
    assert set(SYNTAXES) == DECODED
    assert all(syntax_name(uid) != uid for uid in SYNTAXES)
