"""What libraries log of an object loses its words."""

import subprocess
import sys

PROGRAM = """
import logging, sys, warnings
from lesionstream.console import set_up_logging
set_up_logging("debug")
import pydicom
from pydicom.dataset import Dataset
ds = Dataset()
ds.PatientID = "x"
try:
    raise ValueError("CANARY")
except ValueError:
    logging.getLogger("pynetdicom.acse").exception("of %s", "CANARY", stack_info=True)
logging.getLogger("pydicom").warning("Invalid value: CANARY")
warnings.warn("Invalid value: CANARY")
pydicom.config.settings.writing_validation_mode = pydicom.config.WARN
ds.StudyInstanceUID = "CANARY"
logging.getLogger("kafka").error("a broker is away")
"""


def test_words_of_dicom_libraries_are_left_out_and_that_they_spoke_is_not():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert "CANARY" not in done.stdout + done.stderr
    assert "said error in <string>.<module>" in done.stderr
    assert "said warning in" in done.stderr
    assert "a broker is away" in done.stderr, "others are heard"
