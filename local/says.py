"""How a caller hears of progress."""

from collections.abc import Callable
from typing import TypeAlias

Say: TypeAlias = Callable[[str], None]
"""Called with one short line for a person, never with an empty one."""


def silent(line: str) -> None:
    """Say nothing."""
