"""The record of `make soak` in docs/reliability.md."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reliability.md"


@contextmanager
def recorded(name: str, columns: str) -> Iterator[list[str]]:
    """Yield a list of rows; they replace what stands between the marks of this name."""
    rows: list[str] = []
    yield rows
    if rows:
        page = PAGE.read_text()
        head, rest = page.split(f"<!-- {name} -->")
        tail = rest.split(f"<!-- /{name} -->")[1]
        when = datetime.now(UTC).strftime("%Y-%m-%d")
        intro = f"Last run {when}, {os.cpu_count()} cores, Python {platform.python_version()}:\n\n"
        table = f"{columns}\n" + "|---" * (columns.count("|") - 1) + "|\n" + "".join(rows)
        PAGE.write_text(f"{head}<!-- {name} -->\n{intro}{table}<!-- /{name} -->{tail}")
