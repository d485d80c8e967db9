"""Names: the vault of the state folder, for the monitor's pages and for `reidentify`."""

import structlog

from identity.beds import BedsError, read_beds
from identity.pseudonyms import KeyFileError, Pseudonyms, load_or_make_key
from identity.vault import Vault, VaultError
from lesionstream import audit
from lesionstream.console import print_json, say
from lesionstream.settings import settings
from lesionstream.vault import vault_key
from monitor.known import Called, Roll

log = structlog.get_logger(__name__)


def open_vault() -> Vault:
    """Open the vault of the state folder.

    Raises
    ------
    KeyFileError, VaultError   it cannot be opened.
    """
    return vault_key().open()


def reidentify(pseudonym: str, reason: str) -> int:
    """Say who a patient is, after noting who asked and why; return the exit code."""
    with open_vault() as vault:
        named = vault.name(pseudonym)
    audit.note("reidentify", reason, pseudonym=pseudonym, known=named is not None)
    if named is None:
        say(f"nobody of the vault is {pseudonym}")
        return 1
    print_json(
        {
            "pseudonym": pseudonym,
            "PatientName": named.patient_name,
            "PatientID": named.patient_id,
            "IssuerOfPatientID": named.issuer,
            "PatientBirthDate": named.birth_date,
        }
    )
    return 0


class Names:
    """Names and beds for the monitor, read again as they change."""

    def __init__(self) -> None:
        self._vault: Vault | None = None

    def roll(self) -> Roll:
        """Return names and beds. What cannot be read is left out, and logged.

        Without a vault file there are no names: it comes with the first image of a device.
        """
        wanted = settings()
        names = self._names() if wanted.vault.exists() else None
        beds = self._beds() if wanted.beds else None
        return Roll(
            called={
                pseudonym: Called(
                    name=(names or {}).get(pseudonym), bed=(beds or {}).get(pseudonym)
                )
                for pseudonym in {**(names or {}), **(beds or {})}
            },
            names_from=None if names is None else "the vault of this site",
            beds_from=None if beds is None or wanted.beds is None else wanted.beds.name,
        )

    def _names(self) -> dict[str, str] | None:
        try:
            self._vault = self._vault or open_vault()
            named = self._vault.names()
        except (VaultError, KeyFileError) as error:
            log.error("no names", error=str(error))
            return None
        return {pseudonym: who.shown for pseudonym, who in named.items() if who.shown}

    def _beds(self) -> dict[str, str] | None:
        wanted = settings()
        try:
            key = Pseudonyms(load_or_make_key(wanted.pseudonym_key_file))
            return None if wanted.beds is None else read_beds(wanted.beds, key)
        except (BedsError, KeyFileError) as error:
            log.error("no beds", error=str(error))
            return None
