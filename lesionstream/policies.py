"""Policies by name or by a site's TOML file; `policy test`: what a changed one would have said."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from lesionstream import endpoints
from lesionstream.console import out, print_json, progress_bar, say
from lesionstream.settings import settings
from stream.inbox import Foldable, Unfoldable, foldable
from stream.policies import POLICIES, Policy, PolicyError, choose
from stream.replay import Verdict, replay
from wire.assessment import NO_COMPARISON
from wire.envelope import Envelope
from wire.evidence import ModelEvidence
from wire.reading import read
from wire.records import Action, Finding
from wire.topics import ACTIONS, RESULTS

NAME = "policy"


def policy_of(name_or_file: str) -> Policy:
    """Return a policy: by its name, or as a TOML file changes it (``policy = "longitudinal"``).

    Raises
    ------
    PolicyError   there is no such policy or file, or the file's data are not what it takes.
    """
    if name_or_file in POLICIES:
        return choose(name_or_file)
    file = Path(name_or_file)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(POLICIES)
        raise PolicyError(
            f"{name_or_file} is no policy ({known}) and no file: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file}: {error}") from error
    try:
        return choose(str(data.pop(NAME, POLICIES[0])), data)
    except PolicyError as error:
        raise PolicyError(f"{file}: {error}") from error


def test(
    changed: str,
    *,
    against: str | None,
    findings: Path | None,
    truth: Path | None,
    jsonl: bool,
) -> int:
    """Replay what happened through two policies, and show where they differ.

    Parameters
    ----------
    against : the policy now; None is the one set.
    findings : JSON lines as `tail results --jsonl` and `infer --jsonl` write them; None reads
        Kafka.
    truth : of simulated scans, as `simulate` writes it: tells which alarms are false.
    """
    before, after = policy_of(against or settings().policy), policy_of(changed)
    events = list(_from_file(findings) if findings else _from_kafka())
    if not events:
        say("there is no finding to replay")
        return 1
    one = {verdict.series_instance_uid: verdict for verdict in replay(events, before)}
    other = {verdict.series_instance_uid: verdict for verdict in replay(events, after)}
    differing = [uid for uid in one if _essence(one[uid]) != _essence(other[uid])]
    lesions = None if truth is None else _with_lesions(truth)
    if jsonl:
        for uid in differing:
            print_json({"before": _as_object(one[uid]), "after": _as_object(other[uid])})
    else:
        out.print(_differences(one, other, differing))
    say(f"{len(differing)} of {len(one)} series would have been answered in another way")
    for name, policy, verdicts in (("now", before, one), ("changed", after, other)):
        say(f"{name}: {policy.NAME} {policy.version}: {alarm_counts(verdicts.values(), lesions)}")
    return 0


def alarm_counts(verdicts: Iterable[Verdict], lesions: Mapping[str, bool] | None) -> str:
    """Say how many alarms there were, by priority, for each patient and day of event time.

    Parameters
    ----------
    lesions : series -> whether a lesion is in it in truth; None where the truth is not known.
    """
    kept = list(verdicts)
    days = {
        (verdict.patient_id, verdict.event_time.date() if verdict.event_time else None)
        for verdict in kept
    }
    alarms = [(verdict, priority) for verdict in kept for _, priority in verdict.alarms]
    priorities = Counter(priority for _, priority in alarms)
    words = ", ".join(f"{n} {priority}" for priority, n in sorted(priorities.items())) or "none"
    line = f"alarms: {words}; {len(alarms) / max(1, len(days)):.2f} a patient and day"
    if lesions is None:
        return line
    known = [(v, p) for v, p in alarms if v.series_instance_uid in lesions]
    false = sum(not lesions[verdict.series_instance_uid] for verdict, _ in known)
    return f"{line}; {false} false, {false / max(1, len(days)):.2f} a patient and day"


def _from_kafka() -> Iterator[Foldable]:
    """Yield findings and actions in the order of the log, with a progress bar."""
    names, kafka = settings().names, endpoints.kafka()
    with progress_bar("messages") as bar:
        task = bar.add_task("reading", total=None, note="")
        for topic in (RESULTS, ACTIONS):
            for message in read(kafka, names.of(topic)):
                bar.advance(task)
                is_action = topic is ACTIONS
                kind = Action.kind if is_action else Envelope.of(message.headers).kind
                try:
                    event = foldable(kind, message.value, partition=message.partition)
                except Unfoldable:
                    continue  # it has its dead letter
                if event is not None:
                    yield event


def _from_file(path: Path) -> Iterator[Foldable]:
    """Yield the findings, evidence and actions in a file; other records are passed over."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise PolicyError(f"{path}:{number}: not a JSON object")
            kind = value.get("kind", Finding.kind)
            if kind == Finding.kind:
                yield Finding.model_validate(value)
            elif kind == ModelEvidence.kind:
                yield ModelEvidence.model_validate(value)
            elif kind == Action.kind:
                yield Action.model_validate(value)
        except (json.JSONDecodeError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise PolicyError(f"{path}:{number}: no finding ({first})") from error


def _with_lesions(path: Path) -> dict[str, bool]:
    try:
        series = json.loads(path.read_text(encoding="utf-8"))["series"]
        return {item["SeriesInstanceUID"]: bool(item["lesions"]) for item in series}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise PolicyError(f"{path}: not the truth of simulated scans ({error})") from error


def _essence(verdict: Verdict) -> tuple[object, ...]:
    return verdict.response, verdict.answers, verdict.alarms


def _as_object(verdict: Verdict) -> dict[str, Any]:
    when = verdict.event_time.isoformat() if verdict.event_time else None
    return asdict(verdict) | {"event_time": when, "alarms": dict(verdict.alarms)}


def _differences(
    one: Mapping[str, Verdict], other: Mapping[str, Verdict], differing: Iterable[str]
) -> Table:
    table = Table("patient", "series", "date", "now", "changed")
    for uid in differing:
        when = one[uid].event_time
        table.add_row(
            escape(one[uid].patient_id),
            f"…{escape(uid[-12:])}",
            f"{when:%Y-%m-%d}" if when else "",
            _words(one[uid]),
            _words(other[uid]),
        )
    return table


def _words(verdict: Verdict) -> str:
    words = [] if verdict.response in ("", NO_COMPARISON) else [verdict.response]
    words += verdict.answers or ["nothing"]
    alarms = dict(verdict.alarms)
    words += [f"alarm {priority}" for rule, priority in verdict.alarms if rule in verdict.answers]
    words += [f"alarm {alarms[rule]} {rule}" for rule in alarms if rule not in verdict.answers]
    return " · ".join(words)
