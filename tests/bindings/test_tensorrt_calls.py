"""Every call to TensorRT exists, with the signature it is called with, in 10.6 and in 11.

The bindings of both (3 MB, `make test-tensorrt` fetches them) are loaded beside libraries without
content: what they would compute cannot be asked, what they take and return can. Types are made of
that, and every module that calls TensorRT is checked by them.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / ".venv" / "tensorrt"
CALLERS = sorted(
    str(path.relative_to(ROOT))
    for room in ("engines", "benchmarks", "stream", "lesionstream")
    for path in (ROOT / room).rglob("*.py")
    if "import tensorrt" in path.read_text()
)

LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)

SAID_OTHERWISE = (
    (r"\bbuffer\b", "typing_extensions.Buffer"),  # as the docstrings of 10 name it
    (r"typing\.SupportsInt", "int"),
    (r"(?m)^bool: .*\n", ""),  # a DataType, which would hide the type
    (r"\A", "__version__: str\n"),  # of the package around
    # documented, and beyond what a docstring can say: it offers its bytes
    (
        r"(?m)^class IHostMemory:\n",
        "\\g<0>    def __buffer__(self, flags: int) -> memoryview: ...\n",
    ),
)


def _wheel(version):
    found = sorted(WHEELS.glob(f"tensorrt_cu1?_bindings-{version}.*.whl"))
    if not found and os.environ.get("REQUIRE_TENSORRT") == "1":
        pytest.fail(f"no bindings of TensorRT {version} in {WHEELS}")
    if not found:
        pytest.skip(f"no bindings of TensorRT {version}: make test-tensorrt fetches them")
    return found[-1]


@pytest.fixture(scope="module", params=["10.6", "11"])
def types(request, tmp_path_factory):
    """Return a folder with types of TensorRT, made of what its bindings say of themselves."""
    folder = tmp_path_factory.mktemp("tensorrt")
    zipfile.ZipFile(_wheel(request.param)).extractall(folder)
    major = request.param.split(".")[0]
    source = "".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS)
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        words = ["cc", "-shared", "-fPIC", "-x", "c", "-", f"-Wl,-soname,{name}"]
        subprocess.run([*words, "-o", str(folder / name)], input=source, text=True, check=True)
    subprocess.run(
        [
            str(Path(sys.executable).with_name("stubgen")),
            *("--inspect-mode", "--module", "tensorrt_bindings.tensorrt", "--output", "types"),
        ],
        cwd=folder,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)},
        check=True,
        capture_output=True,
    )
    path = folder / "types" / "tensorrt_bindings" / "tensorrt.pyi"
    text = "import typing_extensions\n" + path.read_text()
    for pattern, other in SAID_OTHERWISE:
        text = re.sub(pattern, other, text)
    (folder / "types" / "tensorrt.pyi").write_text(_parsable(text))
    shutil.rmtree(path.parent)
    return folder / "types"


def _parsable(text):
    """Leave out the lines that are no Python: one signature has defaults before what has none."""
    lines = text.splitlines()
    for _ in range(10):
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            lines[error.lineno - 1] = re.match(r"\s*", lines[error.lineno - 1])[0] + "pass"
        else:
            return "\n".join(lines)
    raise AssertionError("more than ten signatures are no Python")


def _complaints(types, *files):
    """Return what mypy finds wrong with the calls in some files."""
    words = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words, "--explicit-package-bases", *files],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(types)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(tuple(files))]


def test_each_call_is_one_that_there_is(types):
    assert "engines/tensorrt_runtime.py" in CALLERS
    assert _complaints(types, *CALLERS) == []


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ("trt.Builder(log).create_networks()", "create_networks"),
        ("trt.Builder(log).create_network(strict=True)", "strict"),
        ("trt.BuilderFlag.NEVER", "NEVER"),
        ("trt.Runtime(log).deserialize_cuda_engine(3)", "deserialize_cuda_engine"),
    ],
)
def test_one_that_there_is_not_is_found(types, wrong, word, tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text(f"import tensorrt as trt\ndef call(log: trt.ILogger) -> None:\n    {wrong}\n")
    complaints = _complaints(types, str(path))
    assert len(complaints) >= 1
    assert word in complaints[0]
