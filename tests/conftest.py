"""Real servers for the tests that need them: started once, a stack of its own for each test."""

import os
import secrets
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.stack import Stack

import local
from wire import topic_admin
from wire.cluster import Cluster
from wire.topics import Names

pytest.register_assert_rewrite("support.chaos", "support.cell", "support.cells")  # they assert


# A busy machine is no fault of what is tested; each test has its own timeout.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Brokers of tests live for minutes: Java shall start quickly, not compile for days to come.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

SERVERS = "servers"
"""The state folder of the local servers, in the temporary folder of the whole run."""


LONGEST_FIRST = ("reliability", "browser", "integration")
"""Kinds of tests whose files take minutes: begun last, one would outlast all others."""


def pytest_collection_modifyitems(items):
    """Put the longest first; `make test` hands files out in this order."""
    kinds = {kind: place for place, kind in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: kinds.get(item.path.parent.name, len(kinds)))


@pytest.fixture(scope="module", autouse=True)
def no_client_left():
    """Fail the module that leaves a client of Kafka behind: it disturbs whichever test is next.

    It draws from Python's one source of chance, for example, which hypothesis does not allow while
    it makes its examples.
    """
    before = set(threading.enumerate())
    yield
    ends = time.monotonic() + 5
    while left := [
        thread for thread in set(threading.enumerate()) - before if "kafka" in _origin(thread)
    ]:
        assert time.monotonic() < ends, f"running after the last test of this module: {left}"
        time.sleep(0.1)


def _origin(thread: threading.Thread) -> str:
    return f"{thread.name} {type(thread).__module__}"


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of labelled images."""
    folder = os.environ.get("LESIONSTREAM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LESIONSTREAM_DATA names no folder of labelled images (docs/data.md)")
    return Path(folder)


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Return a local Kafka and Redis, the same to all processes of a run.

    Who asks first starts them; `pytest_unconfigure` ends them when all are through.
    """
    folder = tmp_path_factory.getbasetemp()
    whole = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    try:
        return local.up(whole / SERVERS)
    except local.LocalError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no local Kafka and Redis: {error}")


def pytest_unconfigure(config):
    """End the servers of this run, from the process that started all others."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        local.down(config._tmp_path_factory.getbasetemp() / SERVERS)


@pytest.fixture(scope="module")
def home(tmp_path_factory, request):
    """Yield the folder of a Kafka and a Redis of one module's own: it may kill them."""
    home = tmp_path_factory.mktemp("own")
    try:
        local.up(home)
    except local.LocalError:
        request.getfixturevalue("servers")  # skips, or fails where it must not
        raise
    yield home
    local.down(home)


@pytest.fixture
def stack(servers, tmp_path):
    """Yield a stack with topics of its own."""
    names = Names(f"t{secrets.token_hex(4)}-")
    topic_admin.create(Cluster.plain(servers.kafka), names)
    stack = Stack(servers.kafka, servers.redis, names, tmp_path)
    yield stack
    stack.close()
