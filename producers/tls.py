"""DICOM over TLS, 1.2 or later, both sides with certificates (PS3.15 Annex B)."""

import ssl


def server_context(certificate: str, key: str, authorities: str) -> ssl.SSLContext:
    """Return what a listener needs.

    Parameters
    ----------
    certificate, key : PEM files of this side; the key is not encrypted.
    authorities : PEM file; the other side must show a certificate of one of these.

    Raises
    ------
    OSError   a file cannot be read, or is not what it should be.
    """
    return _with_files(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key, authorities)


def client_context(certificate: str, key: str, authorities: str) -> ssl.SSLContext:
    """Return what a device needs; parameters and errors as `server_context`.

    The listener's name is not checked: devices know it by address and AE title.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    return _with_files(context, certificate, key, authorities)


def _with_files(
    context: ssl.SSLContext, certificate: str, key: str, authorities: str
) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key, password=_no_password)
    context.load_verify_locations(authorities)
    return context


def _no_password() -> str:
    raise OSError("the key is encrypted: give one without a password, readable by its owner alone")
