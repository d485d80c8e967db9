"""`therapy add`: what a patient is treated with, as an action that everything else follows from."""

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from identity.pseudonyms import Pseudonyms, load_or_make_key
from lesionstream import endpoints
from lesionstream.console import say
from lesionstream.policies import policy_of
from lesionstream.settings import SettingsError, settings
from lesionstream.watching import state_of
from monitor.acting import NotRecorded, Recorder
from stream.plans import is_plan, unknown_flags
from wire.cluster import BrokerUnavailable
from wire.records import Action, Limits, Therapy

SOURCE = "/lesionstream/therapy"


def add(
    patient_id: str,
    plan: str,
    *,
    start: datetime | None,
    shown: bool,
    flags: Sequence[str],
    flags_withdrawn: Sequence[str],
    reason: str | None,
    least_mm: float | None,
    sum_mm: float | None,
) -> int:
    """Record a therapy; return the exit code: 1 where nothing is known of the patient.

    Parameters
    ----------
    start : the real date, which is moved as the dates of the patient's images are.
    shown : `start` is a date as the monitor shows it: moved already.

    Raises
    ------
    BrokerUnavailable   the broker did not confirm it: it may not be recorded.
    """
    if state_of(patient_id) is None:
        say(f"nothing is known of {patient_id}; `lesionstream patient` lists who is known")
        return 1
    plans = policy_of(settings().policy).data.plans
    if strange := unknown_flags(flags, plans) if plans else []:
        say(f"note: no plan of this site knows the flag {', '.join(strange)}")
    if plans and not any(is_plan(known, plan) for known in plans):
        say(f"note: {plan} is none of this site's plans: {', '.join(one.code for one in plans)}")
    now = datetime.now(UTC)
    begun = start if start and shown else _moved(patient_id, start or now)
    action = Action(
        id=uuid4(),
        action="therapy",
        patient_id=patient_id,
        actor=getpass.getuser(),
        event_time=now,
        reason=reason,
        therapy=Therapy(
            plan=plan,
            start=begun,
            flags=tuple(flags),
            flags_withdrawn=tuple(flags_withdrawn),
            limits=Limits(least_diameter_mm=least_mm, sum_mm=sum_mm),
        ),
    )
    kafka = endpoints.kafka()
    recorder = Recorder(kafka, settings().names, source=SOURCE)
    try:
        recorder.record(action)
    except NotRecorded as error:
        raise BrokerUnavailable(
            f"{error}. Look with `patient {patient_id}`, then try again"
        ) from error
    finally:
        recorder.close()
    say(f"{patient_id}: {plan} from {(start or now).date()}, action {action.id}")
    return 0


def _moved(patient_id: str, real: datetime) -> datetime:
    """Return a date as the images of a patient say it: moved by the days that the key gives.

    Studies are compared with it.

    Raises
    ------
    SettingsError   the key is not here: another one would move it elsewhere.
    """
    file = settings().pseudonym_key_file
    if not file.exists():
        raise SettingsError(
            f"{file} is not there: the key by which dates are moved. Run this where images come "
            "in, or give the date as the monitor shows it, with --shown"
        )
    key = load_or_make_key(file)
    return real - timedelta(days=Pseudonyms(key).shift_days(patient_id))
