"""How a name is sealed: AES-256-GCM under a key derived from that of the vault."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PURPOSE = b"lesionstream vault 1"
"""What the key is derived for; also sealed in the file, to tell a wrong key at once."""

NONCE_BYTES = 12


class Seal:
    """Seals and opens words.

    Parameters
    ----------
    key : at least 32 bytes of randomness.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=PURPOSE).derive(key))

    def closed(self, words: str, pseudonym: str) -> bytes:
        """Return words encrypted; `pseudonym` is sealed in: nobody can exchange two entries."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, words.encode(), pseudonym.encode())

    def opened(self, sealed: bytes, pseudonym: str) -> str | None:
        """Return the words; None where they were changed, exchanged or sealed by another key."""
        try:
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return self._cipher.decrypt(nonce, rest, pseudonym.encode()).decode()
        except (InvalidTag, ValueError, TypeError):
            return None

    def proof(self) -> bytes:
        """Return something that only the same key opens."""
        return self.closed(PURPOSE.decode(), "")

    def fits(self, proof: bytes) -> bool:
        """Tell whether a proof was made by the same key."""
        return self.opened(proof, "") is not None
