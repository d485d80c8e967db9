"""What needs the `train` extra; `make test-training` installs it and lets nothing be skipped."""

import importlib.util
import os

import pytest


def pytest_collection_modifyitems(items):
    if os.environ.get("REQUIRE_TRAINING") or importlib.util.find_spec("tf2onnx"):
        return
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.skip(reason="the `train` extra is not installed"))
