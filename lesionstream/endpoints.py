"""Where Kafka and Redis are: as set, else the local ones of the state folder."""

from lesionstream.settings import SettingsError, settings
from local import status

_REMEDY = 'start local ones with `eval "$(lesionstream up)"`'


def kafka() -> str:
    """Return the bootstrap servers.

    Raises
    ------
    SettingsError   none is set and no local one runs.
    """
    found = settings().kafka or status(settings().home).kafka
    if not found:
        raise SettingsError(f"no Kafka: {_REMEDY}, or set LESIONSTREAM_KAFKA=host:port")
    return found


def redis() -> str:
    """Return the URL of Redis.

    Raises
    ------
    SettingsError   none is set and no local one runs.
    """
    found = settings().redis or status(settings().home).redis
    if not found:
        raise SettingsError(f"no Redis: {_REMEDY}, or set LESIONSTREAM_REDIS=redis://host:port/0")
    return found
