"""Words in, exit codes and sentences out; nothing is started."""

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lesionstream import cli

ROOT = Path(__file__).parents[2]


def commands():
    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        for inner in getattr(command, "commands", None) or [None]:
            yield (
                f"{name} {inner}" if inner else name,
                (command.commands[inner] if inner else command),
            )


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_help_reads_well(name, command):
    result = CliRunner().invoke(cli.app, [*name.split(), "--help"])
    assert result.exit_code == 0
    assert command.help
    assert command.help.strip().splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_is_documented(name):
    readme = (ROOT / "README.md").read_text()
    first, _, second = name.partition(" ")
    assert re.search(rf"`lesionstream {first}\b[^`]*\b{second}", readme), name


@pytest.mark.parametrize(
    "words", [["worker", "nobody"], ["tail", "nothing"], ["replay"], ["nonsense"]]
)
def test_usage_errors_exit_2(words):
    assert CliRunner().invoke(cli.app, words).exit_code == 2


def test_without_a_broker_it_says_how_to_get_one(monkeypatch, tmp_path, capsys):
    from lesionstream.settings import settings

    for name in ("KAFKA", "REDIS"):
        monkeypatch.delenv(f"LESIONSTREAM_{name}", raising=False)
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["lesionstream", "tail", "results"])
    settings.cache_clear()
    with pytest.raises(SystemExit) as ended:
        cli.main()
    settings.cache_clear()
    assert ended.value.code == 2
    assert "lesionstream up" in capsys.readouterr().err
