"""`local.jars`: versions that agree, Java's many ways to say its own, downloads that fail."""

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import local
from local import jars


def test_the_pom_names_the_version_that_is_run() -> None:
    pom = ET.parse(Path(jars.__file__).with_name("pom.xml"))  # noqa: S314 - our own file
    assert pom.findtext(".//kafka.version") == local.KAFKA_VERSION


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ('java version "1.8.0_292"', 8),
        ('Picked up _JAVA_OPTIONS: -Xmx1g\nopenjdk version "11.0.2"', 11),
        ("bash: java: not found", None),
        ("", None),
    ],
)
def test_java_version(words: str, version: int | None) -> None:
    assert jars.java_version(words) == version


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty installation whose PATH holds the commands of its folder ``bin`` only."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def _command(installation: Path, name: str, script: str) -> None:
    path = installation / "bin" / name
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)


_JAVA_17 = "echo 'openjdk version \"17.0.1\"' >&2"
_COPIES = (
    'for word; do case $word in -DoutputDirectory=*) out=${word#*=};; esac; done; echo x > "$out/'
    f'kafka_2.13-{jars.KAFKA_VERSION}.jar"'
)


def test_an_old_java_is_refused_with_what_to_install(installation: Path) -> None:
    _command(installation, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(local.LocalError, match=r"11\.0\.2.*default-jre-headless"):
        jars.java()


def test_no_maven(installation: Path) -> None:
    with pytest.raises(local.LocalError, match="apt install maven"):
        local.fetch_kafka()


def test_jars_are_fetched_once(installation: Path) -> None:
    _command(installation, "java", _JAVA_17)
    _command(installation, "mvn", f"{_COPIES}; echo >> {installation}/calls")
    said: list[str] = []
    first, second = local.fetch_kafka(said.append), local.fetch_kafka(said.append)
    assert (installation / "calls").read_text() == "\n"
    assert (
        first == second == installation / "share" / "lesionstream" / f"kafka-{jars.KAFKA_VERSION}"
    )
    assert len(said) == 1


def test_a_failed_download_leaves_nothing_that_looks_complete(installation: Path) -> None:
    _command(installation, "java", _JAVA_17)
    _command(installation, "mvn", f"{_COPIES}; echo 'no route to host'; exit 1")
    with pytest.raises(local.LocalError, match=r"(?s)check the network.*no route to host"):
        local.fetch_kafka()
    left = {path.name for path in (installation / "share" / "lesionstream").iterdir()}
    assert left <= {f".kafka-{jars.KAFKA_VERSION}.lock"}


def test_a_killed_download_is_cleared_away(installation: Path) -> None:
    _command(installation, "java", _JAVA_17)
    _command(installation, "mvn", _COPIES)
    half = installation / "share" / "lesionstream" / f".kafka-{jars.KAFKA_VERSION}-half"
    half.mkdir(parents=True)
    local.fetch_kafka()
    assert not half.exists()


def test_a_read_only_installation_keeps_them_in_the_state_folder(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _command(installation, "java", _JAVA_17)
    _command(installation, "mvn", _COPIES)
    monkeypatch.setattr(sys, "prefix", "/proc")  # root too cannot write there
    home = installation / "home"
    assert local.fetch_kafka(home=home) == home / f"kafka-{jars.KAFKA_VERSION}"
