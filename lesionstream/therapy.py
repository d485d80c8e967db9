"""`therapy add`: what a patient is treated with, as an action that everything else follows from."""

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from lesionstream import endpoints
from lesionstream.console import say
from lesionstream.policies import policy_of
from lesionstream.settings import settings
from lesionstream.watching import state_of
from monitor.acting import NotRecorded, Recorder
from stream.plans import unknown_flags
from wire.cluster import BrokerUnavailable
from wire.records import Action, Limits, Therapy

SOURCE = "/lesionstream/therapy"


def add(
    patient_id: str,
    plan: str,
    *,
    start: datetime | None,
    flags: Sequence[str],
    flags_withdrawn: Sequence[str],
    reason: str | None,
    least_mm: float | None,
    sum_mm: float | None,
) -> int:
    """Record a therapy; return the exit code: 1 where nothing is known of the patient.

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
    if plans and plan not in {known.code for known in plans}:
        say(f"note: {plan} is none of this site's plans: {', '.join(one.code for one in plans)}")
    now = datetime.now(UTC)
    action = Action(
        id=uuid4(),
        action="therapy",
        patient_id=patient_id,
        actor=getpass.getuser(),
        event_time=now,
        reason=reason,
        therapy=Therapy(
            plan=plan,
            start=start or now,
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
