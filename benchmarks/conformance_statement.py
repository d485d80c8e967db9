"""The tables of docs/conformance.md that say what the listener is built of.

``python -m benchmarks.conformance_statement`` writes them between their marks (`make docs`).
"""

import sys
from pathlib import Path

from benchmarks.conformance_page import class_name, syntax_name
from producers.deidentify import METHODS
from producers.storage_classes import CLASSES, SYNTAXES

PAGE = Path(__file__).parents[1] / "docs/conformance.md"


def rewritten(page: str) -> str:
    """Return the page with its tables as they should be."""
    tables = {
        "syntaxes": _table("transfer syntax", [(syntax_name(uid), uid) for uid in SYNTAXES]),
        "classes": _table("SOP class", sorted((class_name(uid), uid) for uid in CLASSES)),
        "methods": _table("method", [(name, f"{code} (DCM)") for code, name in METHODS.items()]),
    }
    for mark, table in tables.items():
        head, rest = page.split(f"<!-- {mark} -->")
        tail = rest.split(f"<!-- /{mark} -->")[1]
        page = f"{head}<!-- {mark} -->\n{table}<!-- /{mark} -->{tail}"
    return page


def _table(what: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {what} | code |" if what == "method" else f"| {what} | UID |", "|---|---|"]
    lines += [f"| {name} | {code} |" for name, code in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page anew."""
    PAGE.write_text(rewritten(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
