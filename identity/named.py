"""Who a patient is."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Named:
    """Who a patient is. Never shown by `repr`: it must not get into a log.

    patient_name : as DICOM has it, ``family^given^middle^prefix^suffix``; "" where not known.
    patient_id, issuer : as the device sent them; "" where it did not.
    birth_date : YYYYMMDD, or "".
    """

    patient_name: str
    patient_id: str = ""
    issuer: str = ""
    birth_date: str = ""

    def __repr__(self) -> str:
        return "Named(...)"

    @property
    def shown(self) -> str:
        """Return the name as people write it: ``Family, Given Middle``; "" where not known."""
        family, *given = self.patient_name.split("=")[0].split("^")[:3]
        return ", ".join(filter(None, (family.strip(), " ".join(" ".join(given).split()))))

    def over(self, before: "Named | None") -> "Named":
        """Return what is known now: what a device left out stays as it was."""
        if before is None:
            return self
        new, old = asdict(self), asdict(before)
        return Named(**{field: new[field] or old[field] for field in new})
