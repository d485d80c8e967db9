"""What the listener takes: SOP classes and transfer syntaxes, for negotiation and documents.

A transfer syntax is offered only if its pixels can be decoded: a device that can also send another
one then does. Storage Commitment is not offered: this is an analysis node, no archive.
"""

from pynetdicom import AllStoragePresentationContexts, register_uid
from pynetdicom.service_class import StorageServiceClass

from wire.codecs import ENCAPSULATED, NATIVE

VERIFICATION = "1.2.840.10008.1.1"

RETIRED = {
    "1.2.840.10008.5.1.4.1.1.3": "UltrasoundMultiFrameImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.5": "NuclearMedicineImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.6": "UltrasoundImageStorageRetired",
    "1.2.840.10008.5.1.4.1.1.12.3": "XRayAngiographicBiPlaneImageStorage",
    "1.2.840.10008.5.1.4.1.1.77.1": "VLImageStorageTrial",
    "1.2.840.10008.5.1.4.1.1.77.2": "VLMultiFrameImageStorageTrial",
}
"""Image storage classes that old devices still send; unknown to pynetdicom."""

for _uid, _keyword in RETIRED.items():
    register_uid(_uid, _keyword, StorageServiceClass)

CLASSES = (*(str(c.abstract_syntax) for c in AllStoragePresentationContexts), *RETIRED)
"""Every storage SOP class: what turns out to be no image is answered "not an image"."""

SYNTAXES = [*sorted(NATIVE), *sorted(ENCAPSULATED)]
