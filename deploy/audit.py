"""`make audit`: known vulnerabilities in what is locked, and risky code; says what it did not see.

Exit code 0: all was looked at and nothing found; 1: something was found; 3: nothing was found, and
something could not be looked at.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BIN = Path(sys.executable).parent

NEVER = (
    "packages of the system: Java, Redis, Maven, the base images (scan the images you deploy)",
    "Kafka's jars (their versions: local/jars.py)",
    "packages of the GPU image, which are not locked",
)
"""What this command cannot see at all."""


def main() -> int:
    """Look at packages and code; return the exit code."""
    found, unseen = packages()
    found += code()
    for line in found:
        print(f"FOUND    {line}")
    for line in unseen:
        print(f"NOT SEEN {line}")
    for line in NEVER:
        print(f"not part of this: {line}")
    if found:
        return 1
    print("nothing was found" + (", and not all was looked at" if unseen else ""))
    return 3 if unseen else 0


def packages() -> tuple[list[str], list[str]]:
    """Return the known vulnerabilities of locked packages, and what could not be asked about."""
    with TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        asked = subprocess.run(  # noqa: S603 - our own command line
            [
                *(str(BIN / "pip-audit"), "--require-hashes", "--disable-pip"),
                *("--progress-spinner", "off", "--format", "json", "--output", str(answer)),
                *("--requirement", "requirements-dev.lock"),
            ],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if not answer.exists():
            why = (asked.stderr.strip().splitlines() or ["no word"])[-1]
            return [], [f"all locked packages: {why}"]
        told = json.loads(answer.read_text())["dependencies"]
    return read(told)


def read(told: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return what pip-audit found, and what it skipped, in lines."""
    found = [
        f"{one['name']} {one['version']}: {flaw['id']}, mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in told
        for flaw in one.get("vulns", ())
    ]
    skipped = sorted(one["name"] for one in told if "skip_reason" in one)
    if not told:
        return found, ["all locked packages: none was read"]
    if not skipped:
        return found, []
    some = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
    return found, [f"{len(skipped)} of {len(told)} packages, nobody could be asked: {some}"]


def code() -> list[str]:
    """Return what ruff's security rules say of the sources."""
    asked = subprocess.run(  # noqa: S603 - as above
        [
            *(str(BIN / "ruff"), "check", "--select", "S", "--ignore", "S311"),
            *("--output-format", "concise", "--quiet", "."),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return asked.stdout.splitlines() if asked.returncode else []


if __name__ == "__main__":
    sys.exit(main())
