"""Real servers for the tests that need them: started once, a stack of its own for each test."""

import os
import secrets
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.stack import Stack

import local
from wire import topic_admin
from wire.topics import Names

# A busy machine is no fault of what is tested; each test has its own timeout.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of labelled images."""
    folder = os.environ.get("LESIONSTREAM_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LESIONSTREAM_DATA names no folder of labelled images (docs/data.md)")
    return Path(folder)


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Yield a local Kafka and Redis for the whole session."""
    home = tmp_path_factory.mktemp("servers")
    try:
        found = local.up(home)
    except local.LocalError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no local Kafka and Redis: {error}")
    yield found
    local.down(home)


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
    topic_admin.create(servers.kafka, names)
    stack = Stack(servers.kafka, servers.redis, names, tmp_path)
    yield stack
    stack.close()
