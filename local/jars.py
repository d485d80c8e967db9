"""Apache Kafka's jars: fetched once from Maven Central by the pinned `pom.xml` beside this."""

import fcntl
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import process
from local.errors import LocalError
from local.says import Say, silent

KAFKA_VERSION = "4.3.1"
"""The broker that is run; `pom.xml` names the same (a test compares them). Newest at the time, and
one of the two that the workers were tested against by kill -9 (4.1.0 and 4.3.1)."""

JAVA_MIN = 17
"""Kafka 4 brokers do not start on an older Java."""

FETCH_S = 900.0
"""A first download on a slow line; 27 s measured with an empty Maven repository."""

_JAVA_ADVICE = (
    f"install a Java runtime, version {JAVA_MIN} or later "
    "(Debian, Ubuntu: apt install default-jre-headless), and put it on PATH"
)
_MAVEN_ADVICE = "it fetches Kafka's jars once; install it (Debian, Ubuntu: apt install maven)"


def fetch_kafka(say: Say = silent, *, home: Path | None = None) -> Path:
    """Return the folder of Kafka's jars; download them where they are missing.

    They belong to the installation (``sys.prefix``), or to `home` where that is read-only
    (`home` not given: the user's cache folder).

    Raises
    ------
    LocalError   Java or Maven is missing, Maven failed, or no folder can be written.
    """
    fallback = home or Path.home() / ".cache" / "lesionstream"
    folders = [
        root / f"kafka-{KAFKA_VERSION}"
        for root in (Path(sys.prefix) / "share" / "lesionstream", fallback)
    ]
    for known in folders:
        if _is_complete(known):
            return known
    folder = next((folder for folder in folders if _is_writable(folder.parent)), None)
    if folder is None:
        raise LocalError(f"neither {folders[0].parent} nor {fallback} can be written: make one so")
    with _locked(folder.parent / f".{folder.name}.lock"):
        if not _is_complete(folder):
            _download(folder, say)
    return folder


def java() -> str:
    """Return the path of a Java that can run the broker.

    Raises
    ------
    LocalError   there is none, or it is too old.
    """
    path = process.program("java", _JAVA_ADVICE)
    _, words = process.run([path, "-version"], cwd=Path("/"), timeout_s=60)
    if (version := java_version(words)) is None or version < JAVA_MIN:
        first = words.strip().splitlines()[:1] or ["nothing"]
        raise LocalError(f"{path} says {first[0]!r}: {_JAVA_ADVICE}")
    return path


def java_version(words: str) -> int | None:
    """Read the feature release from what ``java -version`` prints ("1.8.0_292" is 8)."""
    match = re.search(r'version "(\d+)(?:\.(\d+))?', words)
    if match is None:
        return None
    return int(match[2] or 1) if match[1] == "1" else int(match[1])


def _is_complete(folder: Path) -> bool:
    return (folder / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file()


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(folder: Path, say: Say) -> None:
    """Fill a folder beside `folder`, then rename it: a half-finished one never has its name."""
    maven = process.program("mvn", _MAVEN_ADVICE)
    java()  # Maven would fail with less clear words
    say(f"fetching Apache Kafka {KAFKA_VERSION} from Maven Central (44 MB, once)")
    for left_over in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        code, words = process.run(
            [
                *(maven, "--batch-mode", "--quiet", "--strict-checksums"),
                *("--file", str(Path(__file__).with_name("pom.xml"))),
                *("dependency:copy-dependencies", "-DincludeScope=runtime"),
                f"-DoutputDirectory={temporary}",
            ],
            cwd=temporary,
            timeout_s=FETCH_S,
        )
        if code != 0 or not _is_complete(temporary):
            tail = "".join(f"\n    {line}" for line in words.strip().splitlines()[-8:])
            raise LocalError(
                f"Maven could not fetch Kafka {KAFKA_VERSION} (exit {code}): check the network "
                f"and Maven's settings.xml, then run this again{tail}"
            )
        temporary.chmod(0o755)  # mkdtemp's 0700 would hide an installation from other users
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
