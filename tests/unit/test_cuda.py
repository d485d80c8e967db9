"""Whether there is a GPU: asked of a driver that is missing, ill, empty, or has two cards."""

import ctypes
import shutil
import subprocess
import sys

import pytest

from engines import EngineError, cuda, load_engine
from engines.cuda_graph import CudaGraph

SOURCE = r"""
#include <string.h>
static char done[256];
const char *calls(void) { return done; }
static int note(const char *call) { strcat(done, call); return strcmp(call, FAILS) ? 0 : 900; }
int cuStreamBeginCapture_v2(void *stream, int mode) { return note(mode == 1 ? "begin " : "?"); }
int cuStreamEndCapture(void *stream, void **graph) { *graph = done; return note("end "); }
int cuGraphInstantiateWithFlags(void **run, void *graph, unsigned long long flags) {
  *run = graph; return note(graph == done && !flags ? "make " : "?"); }
int cuGraphDestroy(void *graph) { return note("drop "); }
int cuGraphLaunch(void *run, void *stream) {
  return note(run == done && stream == (void *)77 ? "launch " : "?"); }
int cuGraphExecDestroy(void *run) { return note("close "); }
int cuInit(unsigned flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
  strncpy(name, device ? "Second" : "First", size); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 9 : attribute == 76 ? device : -1; return 0; }
#ifndef OLD
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (size_t)80 << 30; return 0; }
#endif
int cuGetErrorName(int code, const char **name) {
  *name = "CUDA_ERROR_NO_DEVICE"; return code == 100 ? 0 : 1; }
"""


@pytest.fixture
def driver(tmp_path):
    """Return a function that builds a library with a driver's functions."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build a driver with")

    def build(init=0, count=2, old=False, fails=""):
        path = tmp_path / "libcuda-stub.so"
        words = [f"-DINIT={init}", f"-DCOUNT={count}", *(["-DOLD"] if old else [])]
        words += [f'-DFAILS="{fails}"']
        words += ["-include", "stddef.h", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
        subprocess.run([compiler, *words], input=SOURCE, text=True, check=True)
        return str(path)

    return build


def test_cards_are_told_as_the_driver_names_them(driver):
    first, second = cuda.devices(driver())
    assert (first.name, first.compute_capability) == ("First", (9, 0))
    assert (second.name, second.compute_capability) == ("Second", (9, 1))
    assert first.memory_bytes == 80 << 30


@pytest.mark.parametrize(
    ("stub", "words"),
    [
        ({"init": 100}, "cuInit with error 100 (CUDA_ERROR_NO_DEVICE)"),
        ({"init": 999}, "cuInit with error 999"),
        ({"count": 0}, "knows no device"),
        ({"old": True}, "no cuDeviceTotalMem_v2: too old"),
    ],
)
def test_why_there_is_no_device_is_said(driver, stub, words):
    with pytest.raises(cuda.NoCuda) as told:
        cuda.devices(driver(**stub))
    assert words in str(told.value)


def test_without_a_driver_it_is_named(tmp_path):
    assert "is not there" in cuda.lacking("libcuda-of-nobody.so.1")
    broken = tmp_path / "libcuda.so"
    broken.write_bytes(b"no library")
    assert "no NVIDIA driver" in cuda.lacking(str(broken))


def test_what_to_install_is_named_once_there_is_a_device(driver):
    if all(map(cuda.find_spec, cuda.PACKAGES)):
        pytest.skip("all of it is installed here")
    assert "pip install 'lesionstream[gpu]'" in cuda.lacking(driver())


def test_device_cuda_is_an_error_that_says_what_is_missing():
    if not cuda.lacking():
        pytest.skip("there is a GPU here")
    with pytest.raises(EngineError) as told:
        load_engine("lesion", device="cuda")
    assert cuda.lacking() in str(told.value)
    assert "Use device cpu" in str(told.value)


def test_asking_ends_no_process_and_loads_nothing():
    """TensorRT would end it: whatever there is, the question is answered, and nobody loads it."""
    code = (
        "import sys; from engines import cuda, load_engine; cuda.lacking(); "
        "load_engine('lesion', device='auto').close(); "
        "assert not {'tensorrt', 'pycuda'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _calls(path):
    library = ctypes.CDLL(path)
    library.calls.restype = ctypes.c_char_p
    return library.calls().decode().split()


def test_work_is_noted_once_and_launched_by_one_call(driver):
    path, worked = driver(), []
    graph = CudaGraph(77, lambda: worked.append(len(_calls(path))), path)
    assert worked == [1]  # between beginning and end
    graph.launch()
    graph.launch()
    graph.close()
    graph.close()
    assert _calls(path) == ["begin", "end", "make", "drop", "launch", "launch", "close"]


@pytest.mark.parametrize("fails", ["begin ", "end ", "make "])
def test_work_that_cannot_be_noted_is_said(driver, fails):
    with pytest.raises(cuda.NoCuda, match="error 900"):
        CudaGraph(77, lambda: None, driver(fails=fails))


def test_noting_ends_where_the_work_fails(driver):
    path = driver()

    def work():
        raise RuntimeError("no work")

    with pytest.raises(RuntimeError, match="no work"):
        CudaGraph(77, work, path)
    assert _calls(path) == ["begin", "end", "drop"]
