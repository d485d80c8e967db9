"""A simulated CT scanner: patients under therapy, the physics of a slice, a DICOM device.

`course` says who is scanned, `anatomy` and `vessels` where everything lies in space, `physics`
what the scanner makes of it, `series` puts that into DICOM with its truth beside it, and `device`
sends it by C-STORE. Frozen: no engine is trained or tuned on it, and it is not tuned to an engine.
"""
