"""The heap that keeps what is freed."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from wire import heap

if sys.argv[1] == "kept":
    heap.keep()
blocks = [bytearray(2 << 20) for _ in range(8)]  # as large as a fetch of one partition
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks.clear()
    blocks.extend(bytearray(b"x") * (2 << 20) for _ in range(8))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 8 * (2 << 20) // 4096


def faults(how: str) -> int:
    """Return how many pages were faulted in when 16 MiB were freed and taken again."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has the settings")
def test_memory_that_was_freed_is_used_again_without_a_fault() -> None:
    assert faults("kept") < PAGES / 10


def test_what_has_settled_is_not_looked_through_and_is_freed_all_the_same() -> None:
    program = """
import gc, weakref
from wire import heap

class Kept: ...

kept = Kept()
heap.settle()
assert not any(it is kept for it in gc.get_objects()), "a collection looks through it"
seen = weakref.ref(kept)
del kept
assert seen() is None, "it is not freed"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
