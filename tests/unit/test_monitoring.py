"""`monitor` and `users` as words on the command line; nothing is served."""

import stat

import pytest
from typer.testing import CliRunner

from lesionstream import cli
from lesionstream.settings import SettingsError, settings
from monitor.users import UsersFileError


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return what runs a command with a state folder of its own."""
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path))
    monkeypatch.setenv("LESIONSTREAM_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("LESIONSTREAM_REDIS", "redis://127.0.0.1:1")
    settings.cache_clear()
    yield lambda *words, **more: CliRunner().invoke(cli.app, [str(w) for w in words], **more)
    settings.cache_clear()


def test_users_are_kept(run, tmp_path):
    made = run("users", "add", "wall", "--role", "viewer", "--token")
    assert made.exit_code == 0
    token = made.stdout.splitlines()[0]
    assert len(token) > 30
    assert run("users", "add", "ann", "--role", "nurse", input="correct horse\n").exit_code == 0
    listed = run("users", "list", "--json")
    assert listed.stdout == (
        '[{"name": "ann", "role": "nurse", "by": "password"}, '
        '{"name": "wall", "role": "viewer", "by": "token"}]\n'
    )
    file = tmp_path / "users.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    assert "correct horse" not in file.read_text()
    assert run("users", "remove", "wall").exit_code == 0
    assert run("users", "remove", "wall").exit_code == 1


def test_a_short_password_and_a_strange_name_are_not_taken(run):
    short = run("users", "add", "ann", "--role", "nurse", input="short\n")
    assert isinstance(short.exception, SettingsError)
    strange = run("users", "add", "a b", "--role", "nurse", input="correct horse\n")
    assert isinstance(strange.exception, UsersFileError)
    assert run("users", "add", "ann", "--role", "king").exit_code == 2


def test_it_is_not_served_where_nobody_could_log_in(run):
    refused = run("monitor", "--port", 0)
    assert isinstance(refused.exception, SettingsError)
    assert "users add" in str(refused.exception)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])  # noqa: S104
def test_a_demo_is_not_served_to_others(run, host):
    refused = run("monitor", "--demo", "--host", host, "--port", 0)
    assert isinstance(refused.exception, SettingsError)
    assert f"not served on {host}" in str(refused.exception)


def test_a_proxy_that_is_no_address_is_named(run, monkeypatch):
    monkeypatch.setenv("LESIONSTREAM_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example")
    refused = run("monitor", "--port", 0)
    assert "LESIONSTREAM_TRUSTED_PROXIES" in str(refused.exception)
