"""12-bit JPEG Extended for pydicom, by GDCM.

pydicom's own plugin refuses samples of more than 8 bit. GDCM decodes them, with the values that
DCMTK's ``dcmdjpeg`` gives (a test compares). The shape of this module is that of a decoding plugin:
https://pydicom.github.io/pydicom/stable/guides/decoding/decoder_plugins.html
"""

from typing import cast

import gdcm
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGExtended12Bit

DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("gdcm>=3.0.10",)}


def is_available(uid: str) -> bool:
    """Tell pydicom whether this plugin decodes a transfer syntax."""
    return uid in DECODER_DEPENDENCIES


def decode(src: bytes, runner: DecodeRunner) -> bytes:
    """Return the pixels of one frame, as a plugin of pydicom does.

    Raises
    ------
    ValueError   GDCM cannot decode it.
    """
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(src)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    if runner.samples_per_pixel > 1:
        image.SetPlanarConfiguration(runner.planar_configuration)
    syntax = gdcm.TransferSyntax.GetTSType(str.__str__(runner.transfer_syntax))
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    stored = runner.bits_stored
    image.SetPixelFormat(
        gdcm.PixelFormat(
            runner.samples_per_pixel,
            runner.bits_allocated,
            stored,
            stored - 1,
            runner.pixel_representation,
        )
    )
    pixels = image.GetBuffer()  # a str: one surrogate for each byte that is no ASCII
    if pixels is None:
        raise ValueError("GDCM cannot decode the frame")
    return cast(str, pixels).encode("utf-8", "surrogateescape")
