"""Whether the pixels of a frame may show a name: what its data set says, and what it leaves open.

De-identification reads no pixels. A device says `BurnedInAnnotation` (0028,0301); many that write a
name into the picture do not: copies of a screen, ultrasound, photographs, films on glass.
"""

from typing import Final, Literal, get_args

from pydicom.dataset import Dataset

from wire import explicit

BurnedIn = Literal["no", "possible", "yes"]
LEVELS: Final[tuple[BurnedIn, ...]] = get_args(BurnedIn)

KEY: Final = "burned_in_annotation"
"""In `quality` of a finding."""

_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture, single and multi-frame
    "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound
    "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame
    "1.2.840.10008.5.1.4.1.1.77.1",  # Visible Light: endoscopes, photographs, video
)
"""SOP classes of pictures that people, or screens, write into."""

_MODALITIES = frozenset({"US", "IVUS", "OT", "SC", "XC", "ES", "GM", "DOC", "SM", "OP", "RF", "HC"})
_SCREENS = ("SCREEN", "SAVE", "CAPTURE", "DOSE", "PROTOCOL", "REPORT")
"""Parts of ImageType values: a dose report is a CT image by its class, and a picture of words."""


def burned_in(dataset: Dataset) -> BurnedIn:
    """Return ``yes`` where the device says so, ``possible`` where it usually is, else ``no``.

    `RecognizableVisualFeatures` (a face) counts as a name does. Who says `NO` is believed.
    """
    said = _words(dataset, "BurnedInAnnotation")
    if "YES" in (*said, *_words(dataset, "RecognizableVisualFeatures")):
        return "yes"
    if "NO" in said:
        return "no"
    sop_class = "".join(_words(dataset, "SOPClassUID"))
    suspect = (
        any(sop_class == one or sop_class.startswith(f"{one}.") for one in _CLASSES)
        or not _MODALITIES.isdisjoint(_words(dataset, "Modality"))
        or any(part in kind for kind in _words(dataset, "ImageType") for part in _SCREENS)
        or bool("".join(_words(dataset, "ConversionType")))
    )
    return "possible" if suspect else "no"


def _words(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of a text in capitals, whatever a file holds there."""
    plain = explicit.ascii_text(dataset.get_item(keyword))
    if plain is not None:
        return plain.upper().split("\\")
    value = dataset.get(keyword)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) and not hasattr(values, "__iter__"):
        return []
    return [str(one).strip(" \0").upper() for one in values]
