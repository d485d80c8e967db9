"""A name in the pixels cannot be taken out: it is said everywhere, and not shown to everybody."""

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from support.phantoms import chest_hu, dataset, part10
from support.pretend_ward import NOW

from monitor.frame_index import FrameIndex
from producers import metrics
from producers.naming import NameKeeper
from producers.prepare import prepare
from stream.scoring import Message, unscored
from wire.burned_in import KEY, burned_in
from wire.envelope import Envelope
from wire.errors import FrameError, Reason
from wire.frame import decode_frame
from wire.records import NO_ENGINE_USED, Finding, FrameAddress, StageTimes

pytestmark = pytest.mark.filterwarnings("ignore")

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    ("attributes", "level"),
    [
        ({}, "no"),
        ({"BurnedInAnnotation": "YES"}, "yes"),
        ({"BurnedInAnnotation": "yes "}, "yes"),
        ({"RecognizableVisualFeatures": "YES"}, "yes"),
        ({"RecognizableVisualFeatures": "YES", "BurnedInAnnotation": "NO"}, "yes"),
        ({"BurnedInAnnotation": "PERHAPS"}, "no"),
        ({"SOPClassUID": SECONDARY_CAPTURE}, "possible"),
        ({"SOPClassUID": SECONDARY_CAPTURE, "BurnedInAnnotation": "NO"}, "no"),
        ({"SOPClassUID": f"{SECONDARY_CAPTURE}.4"}, "possible"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4.1"}, "possible"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.70"}, "no"),
        ({"Modality": "US"}, "possible"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "possible"),
        ({"ImageType": ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 DOSE"]}, "possible"),
        ({"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "MPR"]}, "no"),
        ({"ConversionType": "SD"}, "possible"),
        ({"Modality": ["US", "CT"]}, "possible"),
        ({"Modality": None, "ImageType": None}, "no"),
    ],
)
def test_what_a_frame_says(attributes, level):
    assert burned_in(dataset(np.zeros((8, 8), np.uint16), **attributes)) == level


def sent(**attributes):
    (message,) = prepare(part10(dataset(chest_hu(0, size=32), **attributes)), b"k" * 32)
    return message


def test_the_frame_keeps_what_the_device_said_and_the_producer_tells():
    message = sent(BurnedInAnnotation="YES", RecognizableVisualFeatures="NO")
    after = pydicom.dcmread(io.BytesIO(message.payload))
    assert (after.BurnedInAnnotation, after.RecognizableVisualFeatures) == ("YES", "NO")
    assert message.burned_in == decode_frame(message.payload).about.burned_in == "yes"


def finding(**attributes) -> Finding:
    payload = sent(**attributes).payload
    where = FrameAddress(topic="frames", partition=0, offset=1)
    message = Message(payload, Envelope("frame", "x", "/x", time=NOW), where)
    frame = decode_frame(payload)
    error = FrameError(Reason.NO_LUNGS, "none", frame.about)
    return unscored(message, error, frame.frame_id, NO_ENGINE_USED, StageTimes()).finding


def test_the_finding_says_it_and_its_schema_takes_it():
    said = finding(Modality="US")
    assert said.quality == {KEY: "possible"}
    again = Finding.model_validate_json(said.to_json())
    assert again == said


def test_a_producer_counts_and_says_it_now_and_then_without_a_name(capsys):
    keeper = NameKeeper(lambda: pytest.fail("there is no name to keep"))
    before = metrics.BURNED_IN.labels("yes")._value.get()
    image = replace(sent(BurnedInAnnotation="YES", SOPInstanceUID="1.2.4711"), named=None)
    for _ in range(5):
        keeper.keep(image)
    keeper.keep(replace(image, burned_in="no"))
    assert metrics.BURNED_IN.labels("yes")._value.get() == before + 5
    said = capsys.readouterr()
    words = said.out + said.err
    assert words.count("pixels may show a name") == 1
    assert not [part for part in ("Doe", "P1", "4711", image.patient_id) if part in words]


@pytest.mark.parametrize(
    ("attributes", "level"),
    [({}, "no"), ({"Modality": "US"}, "possible"), ({"BurnedInAnnotation": "YES"}, "yes")],
)
def test_the_index_of_frames_keeps_it(attributes, level):
    index, said = FrameIndex(NOW.timestamp), finding(**attributes)
    index.put(said, (0, 1), NOW.timestamp())
    assert index[said.id].burned_in == level


def test_of_older_findings_nothing_is_known():
    index, said = FrameIndex(NOW.timestamp), finding(BurnedInAnnotation="YES")
    old = said.model_copy(update={"quality": {}})
    index.put(old, (0, 1), NOW.timestamp())
    assert index[old.id].burned_in == "no"
