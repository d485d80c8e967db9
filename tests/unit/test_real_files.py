"""Files of real scanners and of other toolkits' tests, whose truth is known (docs/data.md)."""

import csv
import io
import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_color_lut

from producers.prepare import prepare
from wire.errors import FrameError
from wire.frame import decode_frame

KEY = b"k" * 32
SMALL_BYTES = 12_000

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def files(data):
    """Return the folder of DICOM files."""
    folder = data / "dicom"
    if not folder.is_dir():
        pytest.skip("no folder `dicom` among the labelled images (docs/data.md)")
    return folder


def messages(path):
    """Return the messages of a file; raise what is wrong with any of its frames."""
    items = list(prepare(path.read_bytes(), KEY))
    for item in items:
        if isinstance(item, FrameError):
            raise item
    return items


def pixels(path):
    """Return the pixels of each frame as those behind Kafka get them."""
    return [decode_frame(message.payload).pixels for message in messages(path)]


@pytest.mark.parametrize("image", ["CT1", "CT2", "MR1", "NM1"])
def test_five_encodings_give_the_same_pixels(files, image):
    (truth,) = pixels(files / f"wg04__{image}_UNC")
    assert np.ptp(truth) > 100
    for encoding in ("J2KR", "JLSL", "JPLL", "RLE"):
        (found,) = pixels(files / f"wg04__{image}_{encoding}")
        np.testing.assert_array_equal(found, truth, err_msg=encoding)
    (near,) = pixels(files / f"wg04__{image}_JLSN")
    assert 0 < np.abs(near.astype(int) - truth).max() <= 4


@pytest.mark.parametrize("image", ["MR1", "NM1", "XA1"])
def test_12_bit_jpeg_extended_as_dcmtk_decodes_it(files, image, tmp_path):
    if shutil.which("dcmdjpeg") is None:
        pytest.fail("DCMTK's dcmdjpeg is missing: make setup-tests")
    path = files / f"wg04__{image}_JPLY"
    subprocess.run(["dcmdjpeg", path, tmp_path / "plain"], check=True, capture_output=True)
    (found,) = pixels(path)
    np.testing.assert_array_equal(found, pydicom.dcmread(tmp_path / "plain").pixel_array)


@pytest.mark.parametrize("image", ["liver", "liver_nonbyte_aligned"])
@pytest.mark.parametrize("encoding", ["rle", "deflate", "j2k"])
def test_a_segmentation_of_single_bits_in_each_encoding(files, image, encoding):
    truth = pixels(files / f"pydicomdata__{image}.dcm")
    found = pixels(files / f"pydicomdata__{image}_{encoding}.dcm")
    np.testing.assert_array_equal(found, truth)


def test_a_big_endian_palette_keeps_its_colours(files):
    path = files / "pydicomdata__gdcm-US-ALOKA-16_big.dcm"
    source = pydicom.dcmread(path)
    (message,) = messages(path)
    found = pydicom.dcmread(io.BytesIO(message.payload))
    np.testing.assert_array_equal(
        apply_color_lut(found.pixel_array, found), apply_color_lut(source.pixel_array, source)
    )


@pytest.mark.parametrize("name", ["pydicomdata__eCT_Supplemental.dcm", "dcmqi__multiframe_mf.dcm"])
def test_frames_of_enhanced_objects_lie_where_their_groups_say(files, name):
    source = pydicom.dcmread(files / name)
    shared = source.SharedFunctionalGroupsSequence[0]
    found = [decode_frame(message.payload).about for message in messages(files / name)]
    groups = source.PerFrameFunctionalGroupsSequence
    assert len(found) == len(groups) > 1

    def said(group, sequence, keyword):
        macro = group.get(sequence) or shared[sequence].value
        return tuple(float(value) for value in macro[0][keyword].value)

    for about, group in zip(found, groups, strict=True):
        assert about.image_position_mm == said(
            group, "PlanePositionSequence", "ImagePositionPatient"
        )
        assert about.image_orientation == said(
            group, "PlaneOrientationSequence", "ImageOrientationPatient"
        )
        assert about.pixel_spacing_mm == said(group, "PixelMeasuresSequence", "PixelSpacing")
    assert len({about.image_position_mm for about in found}) > 1


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("chrArab", "قباني^لنزار"),
        ("chrFren", "Buc^Jérôme"),
        ("chrH31", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrI2", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrRuss", "Люкceмбypг"),
        ("chrX2", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_in_other_scripts_reach_the_vault(files, name, patient):
    assert messages(files / f"pydicom__{name}.dcm")[0].named.patient_name == patient


def test_small_files_have_the_values_that_a_plain_decoder_gives(files):
    """As the manifest has them: shape, type, least and greatest value."""
    seen = 0
    for entry in csv.DictReader((files / "MANIFEST.csv").open()):
        said = re.match(r"ok \((.*)\) [<>]?(\w+) (\S+?)\.\.(\S+)", entry["decoded"])
        if said is None or int(entry["bytes"]) > SMALL_BYTES or int(entry["frames"] or 1) > 3:
            continue
        found = np.squeeze(np.stack(pixels(files / entry["file"])))
        shape, kind, least, greatest = said.groups()
        wanted = tuple(int(n) for n in shape.split(",") if int(n or 1) > 1)
        assert found.shape == wanted, entry["file"]
        assert found.dtype == np.dtype(kind)
        assert np.allclose(
            [float(found.min()), float(found.max())], [float(least), float(greatest)], rtol=1e-3
        ), entry["file"]
        seen += 1
    assert seen > 50
