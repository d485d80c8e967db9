"""Names: the vault of the state folder, and `reidentify`."""

import getpass
import json
import os
from datetime import UTC, datetime

from identity.pseudonyms import load_or_make_key
from identity.vault import Vault
from lesionstream.console import print_json, say
from lesionstream.settings import settings
from wire.envelope import rfc3339


def open_vault() -> Vault:
    """Open the vault of the state folder.

    Raises
    ------
    KeyFileError, VaultError   it cannot be opened.
    """
    wanted = settings()
    return Vault(wanted.vault, load_or_make_key(wanted.names_key_file, "vault key"))


def reidentify(pseudonym: str, reason: str) -> int:
    """Say who a patient is, after noting who asked and why; return the exit code."""
    with open_vault() as vault:
        named = vault.name(pseudonym)
    _note(pseudonym, reason, known=named is not None)
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


def _note(pseudonym: str, reason: str, *, known: bool) -> None:
    """Append one line to the audit log, readable by its owner alone."""
    line = {
        "time": rfc3339(datetime.now(UTC)),
        "account": getpass.getuser(),
        "pseudonym": pseudonym,
        "reason": reason,
        "known": known,
    }
    path = settings().home / "audit.jsonl"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(path, flags, 0o600), "w") as file:
        file.write(json.dumps(line) + "\n")
