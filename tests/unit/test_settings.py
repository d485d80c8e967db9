import os

import pytest

from lesionstream.settings import SettingsError, settings


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith("LESIONSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_works_without_any(tmp_path):
    assert settings().home == tmp_path / ".lesionstream"
    assert settings().kafka is None


def test_environment_before_file(monkeypatch, tmp_path):
    (tmp_path / "site.toml").write_text('kafka = "file:1"\nredis = "redis://file:2/0"\n')
    monkeypatch.setenv("LESIONSTREAM_CONFIG", str(tmp_path / "site.toml"))
    monkeypatch.setenv("LESIONSTREAM_KAFKA", "environment:1")
    assert settings().kafka == "environment:1"
    assert settings().redis == "redis://file:2/0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENGINE_THREADS", "0"),
        ("DECODERS", "0"),
        ("KAFKA", "foo:bar"),
        ("REDIS", "localhost:6379"),
        ("TOPIC_PREFIX", "a b"),
        ("CONFIG", "/not/there.toml"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"LESIONSTREAM_{name}", value)
    with pytest.raises(SettingsError, match=f"LESIONSTREAM_{name}"):
        settings()


def test_a_broken_file_is_named(monkeypatch, tmp_path):
    (tmp_path / "site.toml").write_text("kafka = ")
    monkeypatch.setenv("LESIONSTREAM_CONFIG", str(tmp_path / "site.toml"))
    with pytest.raises(SettingsError, match=r"site\.toml"):
        settings()
