"""Whether CUDA can be used here: the driver itself is asked, before any library that needs it.

TensorRT does not raise where there is no device: its builder aborts the process, its runtime ends
it by a segmentation fault (10.6). So nothing of it is loaded before the driver has named a device.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib.util import find_spec

DRIVER = "libcuda.so.1"
"""Comes with NVIDIA's driver, never with a Python package."""

PACKAGES = ("tensorrt", "pycuda")

_NAME_BYTES = 256
_MAJOR, _MINOR = 75, 76  # CUdevice_attribute: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True, slots=True)
class Device:
    """One card.

    Attributes
    ----------
    name : as the driver names it.
    compute_capability : (major, minor).
    memory_bytes : of the card.
    """

    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int


class NoCuda(Exception):
    """There is no device to compute on; the message says why, in words.

    Operator action: install NVIDIA's driver; in a container, pass the device into it
    (``docker run --gpus all``). Without one use the device cpu.
    """


def devices(driver: str = DRIVER) -> list[Device]:
    """Return the cards that the driver knows, at least one.

    Parameters
    ----------
    driver : name or path of the driver's library.

    Raises
    ------
    NoCuda  no driver, no device, or a driver that fails.

    Notes
    -----
    CUDA Driver API: cuInit, cuDeviceGetCount, cuDeviceGetName, cuDeviceGetAttribute,
    cuDeviceTotalMem_v2. No context is made: nothing is left on the card.
    """
    try:
        cuda = ctypes.CDLL(driver)
    except OSError as error:
        raise NoCuda(f"no NVIDIA driver ({driver} is not there)") from error
    ask(cuda, "cuInit", ctypes.c_uint(0))
    count = ctypes.c_int()
    ask(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value < 1:
        raise NoCuda("the NVIDIA driver knows no device")
    return [_device(cuda, number) for number in range(count.value)]


def ask(cuda: ctypes.CDLL, function: str, *arguments: object) -> None:
    """Call a function of the driver.

    Raises
    ------
    NoCuda  it answers with an error, or has no such function.
    """
    try:
        code = int(getattr(cuda, function)(*arguments))
    except AttributeError as error:
        raise NoCuda(f"the NVIDIA driver has no {function}: too old") from error
    if code:
        raise NoCuda(f"the NVIDIA driver answers {function} with error {code}{_name(cuda, code)}")


def lacking(driver: str = DRIVER) -> str:
    """Say what is missing to compute on a GPU, and what to install; "" where nothing is."""
    try:
        devices(driver)
    except NoCuda as error:
        return str(error)
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed (pip install 'lesionstream[gpu]')"
    return ""


def _device(cuda: ctypes.CDLL, number: int) -> Device:
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(_NAME_BYTES)
    ask(cuda, "cuDeviceGet", ctypes.byref(handle), ctypes.c_int(number))
    ask(cuda, "cuDeviceGetName", name, ctypes.c_int(_NAME_BYTES), handle)
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        ask(cuda, "cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(attribute), handle)
        capability.append(value.value)
    memory = ctypes.c_size_t()
    ask(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
    major, minor = capability
    return Device(name.value.decode("utf-8", "replace"), (major, minor), memory.value)


def _name(cuda: ctypes.CDLL, code: int) -> str:
    """Return the driver's own name of an error, in brackets; "" where it has none."""
    words = ctypes.c_char_p()
    try:
        told = cuda.cuGetErrorName(ctypes.c_int(code), ctypes.byref(words))
    except AttributeError:
        return ""
    return f" ({words.value.decode()})" if not told and words.value else ""
