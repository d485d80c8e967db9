"""Which settings of Kafka and Redis make sense together, and what becomes of secrets."""

import os

import pytest

from lesionstream import endpoints
from lesionstream.settings import SettingsError, settings
from wire.cache_server import CacheServer
from wire.cluster import Cluster, Login

SECRET = "not-for-print"  # noqa: S105

LOGIN = {"KAFKA": "k:1", "KAFKA_SECURITY": "SASL_SSL", "KAFKA_USER": "me"}
CACHE = {"REDIS": "rediss://r:1/0", "REDIS_USER": "me"}


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Return a function that sets the settings to these alone; `file` becomes a path."""
    for name in os.environ:
        if name.startswith("LESIONSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LESIONSTREAM_HOME", str(tmp_path / "home"))

    def tell(values):
        for name, value in values.items():
            monkeypatch.setenv(f"LESIONSTREAM_{name}", value)
        settings.cache_clear()

    yield tell
    settings.cache_clear()


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    return file


def test_without_any_everybody_is_let_in(told):
    told({"KAFKA": "a:1,b:2", "REDIS": "redis://r:1/0"})
    assert endpoints.kafka() == Cluster.plain("a:1,b:2")
    assert endpoints.redis() == CacheServer("redis://r:1/0")


def test_a_password_comes_from_its_file_without_the_end_of_the_line(told, secret):
    told(LOGIN | {"KAFKA_PASSWORD_FILE": str(secret)})
    assert endpoints.kafka() == Cluster(("k:1",), True, None, Login("me", SECRET))
    told(CACHE | {"REDIS_PASSWORD_FILE": str(secret)})
    assert endpoints.redis() == CacheServer("rediss://r:1/0", "me", SECRET)


def test_a_password_is_in_no_repr(told):
    told(LOGIN | {"KAFKA_PASSWORD": SECRET})
    told({"REDIS": f"redis://me:{SECRET}@r:1/0?password={SECRET}"})
    for thing in (settings(), endpoints.kafka(), endpoints.redis()):
        assert SECRET not in f"{thing} {thing!r}"
    assert str(endpoints.redis()) == "redis://r:1/0"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"KAFKA": "k:1", "KAFKA_SECURITY": "SASL_PLAINTEXT"}, "KAFKA_SECURITY"),
        ({"KAFKA": "k:1", "KAFKA_USER": "me"}, "KAFKA_USER needs LESIONSTREAM_KAFKA_SECURITY"),
        ({"KAFKA": "k:1", "KAFKA_PASSWORD": SECRET}, "KAFKA_PASSWORD needs"),
        ({"KAFKA": "k:1", "KAFKA_CA": "/ca.pem"}, "KAFKA_CA needs LESIONSTREAM_KAFKA_SECURITY"),
        ({"KAFKA_SECURITY": "SSL"}, "KAFKA_SECURITY needs LESIONSTREAM_KAFKA,"),
        (LOGIN, "KAFKA_USER needs LESIONSTREAM_KAFKA_PASSWORD_FILE"),
        (
            {"KAFKA": "k:1", "KAFKA_SECURITY": "SASL_SSL"},
            "KAFKA_SECURITY=SASL_SSL needs LESIONSTREAM_KAFKA_USER",
        ),
        (LOGIN | {"KAFKA_PASSWORD_FILE": "/not/there"}, "KAFKA_PASSWORD_FILE: /not/there"),
        (
            LOGIN | {"KAFKA_PASSWORD": SECRET, "KAFKA_PASSWORD_FILE": "/f"},
            "KAFKA_PASSWORD and LESIONSTREAM_KAFKA_PASSWORD_FILE are both set",
        ),
        (LOGIN | {"KAFKA_PASSWORD": SECRET, "KAFKA_CA": "/not/there"}, "KAFKA_CA: /not/there"),
        (LOGIN | {"KAFKA_MECHANISM": "GSSAPI"}, "KAFKA_MECHANISM"),
    ],
)
def test_what_makes_no_sense_for_kafka_is_named(told, values, named):
    told(values)
    with pytest.raises(SettingsError, match=f"LESIONSTREAM_{named}") as wrong:
        endpoints.cluster(str(settings().kafka))
    assert SECRET not in str(wrong.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (CACHE, "REDIS_USER needs LESIONSTREAM_REDIS_PASSWORD_FILE"),
        ({"REDIS_PASSWORD": SECRET}, "REDIS_PASSWORD needs LESIONSTREAM_REDIS,"),
        ({"REDIS": f"redis://:{SECRET}@r", "REDIS_PASSWORD": SECRET}, "REDIS_PASSWORD: the URL"),
        ({"REDIS": f"redis://:a/{SECRET}@r"}, "REDIS: the password in it must be percent-enc"),
        ({"REDIS": f"redis://:a#{SECRET}@r"}, "REDIS: the password in it must be percent-enc"),
        ({"REDIS": "redis://r", "REDIS_CA": "/ca.pem"}, "REDIS_CA needs LESIONSTREAM_REDIS=redi"),
        ({"REDIS": f"http://:{SECRET}@r"}, "REDIS: "),
    ],
)
def test_what_makes_no_sense_for_redis_is_named(told, values, named):
    told(values)
    with pytest.raises(SettingsError, match=f"LESIONSTREAM_{named}") as wrong:
        endpoints.cache_server(str(settings().redis))
    assert SECRET not in str(wrong.value)


@pytest.mark.parametrize(
    ("mode", "content", "words"),
    [(0o604, SECRET, "chmod o="), (0o600, "\n", "is empty"), (0o600, b"\xff", "UnicodeDecode")],
)
def test_a_file_of_a_password_that_cannot_be_used_is_named(told, secret, mode, content, words):
    secret.write_bytes(content if isinstance(content, bytes) else content.encode())
    secret.chmod(mode)
    told(LOGIN | {"KAFKA_PASSWORD_FILE": str(secret)})
    with pytest.raises(SettingsError, match=f"LESIONSTREAM_KAFKA_PASSWORD_FILE: .*{words}") as no:
        endpoints.kafka()
    assert SECRET not in str(no.value)


def test_what_is_no_certificate_is_named(told, secret):
    told(LOGIN | {"KAFKA_PASSWORD_FILE": str(secret), "KAFKA_CA": str(secret)})
    with pytest.raises(SettingsError, match="LESIONSTREAM_KAFKA_CA"):
        endpoints.kafka()


def test_no_login_goes_over_an_open_wire():
    with pytest.raises(ValueError, match="without TLS"):
        Cluster(("k:1",), login=Login("me", SECRET))
