#!/usr/bin/env bash
# Everything that needs a GPU, in one go: the tests marked `gpu`, then plans, parity and speed.
#
#   bash benchmarks/gpu.sh            writes benchmarks/gpu-out/gpu.json; OUT=folder to choose another
#
# Needs a driver, TensorRT 10.6 or later, pycuda, onnx, and this package's own requirements
# (docs/gpu.md). PYTHON chooses the interpreter; LD_LIBRARY_PATH may name TensorRT's libraries.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
OUT=${OUT:-benchmarks/gpu-out}
mkdir -p "$OUT"

"$PYTHON" -c 'import sys; from engines import cuda; sys.exit(cuda.lacking() or 0)'
if "$PYTHON" -c 'import pytest, pytest_timeout' 2>/dev/null; then
    "$PYTHON" -m pytest -m gpu -p no:cacheprovider --noconftest tests/gpu tests/contract \
        --junitxml "$OUT/tests.xml" || echo "gpu.sh: tests failed; measuring all the same" >&2
else
    echo "gpu.sh: pytest and pytest-timeout are not installed: the tests marked gpu are not run" >&2
fi
exec "$PYTHON" -m benchmarks.gpu --out "$OUT" "$@"
