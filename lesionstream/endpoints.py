"""Where Kafka and Redis are, and as whom: as set, else the local ones of the state folder."""

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from lesionstream.settings import SettingsError, settings
from local import status
from wire.cache_server import CacheServer
from wire.cluster import Cluster, Login

_REMEDY = 'start local ones with `eval "$(lesionstream up)"`'


def kafka() -> Cluster:
    """Return the cluster, and as whom it is reached.

    Raises
    ------
    SettingsError   none is set and no local one runs, or the settings of it make no sense.
    """
    found = settings().kafka or status(settings().home).kafka
    if not found:
        raise SettingsError(f"no Kafka: {_REMEDY}, or set LESIONSTREAM_KAFKA=host:port")
    return cluster(found)


def cluster(address: str) -> Cluster:
    """Return the cluster at an address, reached as the settings say.

    Raises
    ------
    SettingsError   they contradict each other, or a file cannot be used.
    """
    wanted = settings()
    protocol = wanted.kafka_security
    password = _password("KAFKA_PASSWORD", wanted.kafka_password, wanted.kafka_password_file)
    _goes_with("KAFKA_CA", wanted.kafka_ca, protocol != "PLAINTEXT", "KAFKA_SECURITY")
    _goes_with("KAFKA_USER", wanted.kafka_user, protocol == "SASL_SSL", "KAFKA_SECURITY=SASL_SSL")
    _goes_with("KAFKA_PASSWORD", password, protocol == "SASL_SSL", "KAFKA_SECURITY=SASL_SSL")
    _goes_with("KAFKA_SECURITY", protocol != "PLAINTEXT", wanted.kafka is not None, "KAFKA")
    if protocol == "PLAINTEXT":
        return Cluster.plain(address)
    login = None
    if protocol == "SASL_SSL":
        _goes_with("KAFKA_SECURITY=SASL_SSL", True, wanted.kafka_user, "KAFKA_USER")
        _goes_with("KAFKA_USER", True, password, "KAFKA_PASSWORD_FILE")
        login = Login(str(wanted.kafka_user), str(password), wanted.kafka_mechanism)
    return Cluster(
        tuple(address.split(",")), True, _authorities("KAFKA_CA", wanted.kafka_ca), login
    )


def redis() -> CacheServer:
    """Return Redis, and as whom it is reached.

    Raises
    ------
    SettingsError   none is set and no local one runs, or the settings of it make no sense.
    """
    found = settings().redis or status(settings().home).redis
    if not found:
        raise SettingsError(f"no Redis: {_REMEDY}, or set LESIONSTREAM_REDIS=redis://host:port/0")
    return cache_server(found)


def cache_server(url: str) -> CacheServer:
    """Return the Redis at a URL, reached as the settings say.

    Raises
    ------
    SettingsError   they contradict each other, or a file cannot be used.
    """
    wanted = settings()
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        raise SettingsError(
            "LESIONSTREAM_REDIS: the password in it must be percent-encoded (%2F for /, %23 for #, "
            "%3F for ?); better: LESIONSTREAM_REDIS_PASSWORD_FILE"
        )
    password = _password("REDIS_PASSWORD", wanted.redis_password, wanted.redis_password_file)
    if password and urlsplit(url).password:
        raise SettingsError("LESIONSTREAM_REDIS_PASSWORD: the URL in LESIONSTREAM_REDIS has one")
    for name, value in (("USER", wanted.redis_user), ("PASSWORD", password)):
        _goes_with(f"REDIS_{name}", value, wanted.redis is not None, "REDIS")
    _goes_with("REDIS_USER", wanted.redis_user, password, "REDIS_PASSWORD_FILE")
    _goes_with("REDIS_CA", wanted.redis_ca, url.startswith("rediss://"), "REDIS=rediss://...")
    return CacheServer(url, wanted.redis_user, password, _authorities("REDIS_CA", wanted.redis_ca))


def _goes_with(name: str, value: object, condition: object, other: str) -> None:
    """Raise where `name` is set without what makes sense of it."""
    if value and not condition:
        raise SettingsError(f"LESIONSTREAM_{name} needs LESIONSTREAM_{other}, which is not set")


def _password(name: str, value: SecretStr | None, file: Path | None) -> str | None:
    """Return a password from where it is set; None where it is not."""
    if file is None:
        return None if value is None else value.get_secret_value()
    if value is not None:
        raise SettingsError(f"LESIONSTREAM_{name} and LESIONSTREAM_{name}_FILE are both set")
    try:
        if file.stat().st_mode & 0o007:
            raise SettingsError(
                f"LESIONSTREAM_{name}_FILE: everybody may read {file}: `chmod o= {file}`"
            )
        password = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"LESIONSTREAM_{name}_FILE: {file} ({type(error).__name__})") from error
    if not password:
        raise SettingsError(f"LESIONSTREAM_{name}_FILE: {file} is empty")
    return password


def _authorities(name: str, file: Path | None) -> Path | None:
    """Return a PEM file once it has proved to hold certificates."""
    if file is not None:
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            raise SettingsError(f"LESIONSTREAM_{name}: {file} ({error})") from error
    return file
