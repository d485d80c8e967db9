"""`up` and `down` as a shell sees them."""

import os
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(180)


def command(folder, *words, **environment):
    """Run a command in `folder` with no setting but `environment`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LESIONSTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "lesionstream", *words],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def exports(done):
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    return dict(re.fullmatch(r"export (\w+)=(.+)", line).groups() for line in lines)


@pytest.mark.usefixtures("servers")  # skips where they cannot run
def test_up_again_in_a_shell_that_has_the_addresses_of_last_time(tmp_path):
    folder = tmp_path / "a folder with blanks"
    folder.mkdir()
    try:
        first = exports(command(folder, "up"))
        assert set(first) == {"LESIONSTREAM_KAFKA", "LESIONSTREAM_REDIS"}
        assert exports(command(folder, "up")) == first, "found again"
        assert command(folder, "topics", "describe").returncode == 0, "works without settings"
        assert command(folder, "topics", "describe", **first).returncode == 0
        assert command(folder, "down").returncode == 0
        gone = command(folder, "topics", "describe", **first)
        assert gone.returncode == 2
        assert "no broker answers" in gone.stderr
        assert exports(command(folder, "up", **first)) == first
    finally:
        assert command(folder, "down").returncode == 0
    assert "nothing was running" in command(folder, "down").stderr
