"""TLS as it is set: for `listen`, and for the simulated scanner."""

import ssl
from collections.abc import Callable

from lesionstream.settings import SettingsError, settings


def own_tls(context: Callable[[str, str, str], ssl.SSLContext]) -> ssl.SSLContext:
    """Return a context of `producers.tls` made of the files that are set.

    Raises
    ------
    SettingsError   one is not set, or cannot be used.
    """
    files = settings().tls_files
    if len(files) < 3:
        raise SettingsError(
            "TLS needs LESIONSTREAM_TLS_CERTIFICATE, LESIONSTREAM_TLS_KEY and LESIONSTREAM_TLS_CA"
        )
    try:
        return context(*map(str, files))
    except OSError as error:
        raise SettingsError(f"TLS, one of {', '.join(map(str, files))}: {error}") from error
