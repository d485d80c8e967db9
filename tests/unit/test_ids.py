"""Golden vectors: ids are part of the contract, a change of one byte makes every frame another."""

from uuid import UUID

import numpy as np
import pytest

from wire import ids

PLAIN = {
    "rescale_slope": "1",
    "rescale_intercept": "-1024",
    "pixel_spacing": "0.703125\\0.703125",
    "image_position_patient": "-166\\-171.7\\-100",
    "image_orientation_patient": "1\\0\\0\\0\\1\\0",
}
PIXELS = np.arange(12, dtype=np.int16).reshape(3, 4) - 5


def test_golden_vectors():
    sha256 = ids.pixel_sha256(PIXELS, **PLAIN)
    assert sha256 == "c8c66e85fedd6e4a4d3cd9a845d796ada71107adb716a4723ea9c11f71583a35"
    frame = ids.frame_id("1.2.3", 1, sha256)
    assert frame == UUID("fff1bb8b-8f39-594e-9b52-ecfbc39c5cd2")
    finding = ids.finding_id(frame, "textbook-256", "0.1.0", "ab" * 32)
    assert finding == UUID("689efc32-42a8-5ccd-96ff-7112d690be3b")
    said = ids.recommendation_id("p-1", "threshold", "1", "rule", "start", ["1.2.3.4"])
    assert said == UUID("0f5b80da-f45b-51b2-985b-fecffeb42691")
    assert ids.payload_id(b"not DICOM") == UUID("b52c7aec-bb03-5e69-84f4-fbd3e2dacdda")


def test_hash_is_of_documented_bytes():
    """The recipe in the docstring, done by hand."""
    import hashlib

    tail = "\n3x4|<i2|1|-1024|0.703125\\0.703125|-166\\-171.7\\-100|1\\0\\0\\0\\1\\0"
    by_hand = hashlib.sha256(PIXELS.astype("<i2").tobytes() + tail.encode()).hexdigest()
    assert ids.pixel_sha256(PIXELS, **PLAIN) == by_hand


@pytest.mark.parametrize(
    "same",
    [PIXELS.astype(">i2"), np.asfortranarray(PIXELS), np.repeat(PIXELS, 2, axis=1)[:, ::2]],
    ids=["big endian", "column order", "strided"],
)
def test_memory_layout_does_not_matter(same):
    assert ids.pixel_sha256(same, **PLAIN) == ids.pixel_sha256(PIXELS, **PLAIN)


@pytest.mark.parametrize("field", sorted(PLAIN))
def test_each_attribute_counts(field):
    other = PLAIN | {field: "7"}
    assert ids.pixel_sha256(PIXELS, **other) != ids.pixel_sha256(PIXELS, **PLAIN)


def test_shape_and_type_count():
    seen = {
        ids.pixel_sha256(pixels, **PLAIN)
        for pixels in (PIXELS, PIXELS.reshape(4, 3), PIXELS.view(np.uint16))
    }
    assert len(seen) == 3


def test_a_tombstone_has_an_id():
    assert ids.payload_id(None) == ids.payload_id(b"")


def test_evidence_order_does_not_matter():
    one = ids.recommendation_id("p", "threshold", "1", "r", "start", ["a", "b"])
    assert one == ids.recommendation_id("p", "threshold", "1", "r", "start", ["b", "a"])
