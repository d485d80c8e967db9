"""Treatment models beside the stream: evidence of final series, joined to their recommendation."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from support.stack import eventually

from engines.loading import CATALOGUE
from identity.pseudonyms import Pseudonyms, load_or_make_key
from wire.cluster import Cluster
from wire.envelope import Envelope
from wire.evidence import ModelEvidence
from wire.reading import Reader
from wire.records import Recommendation
from wire.topics import RESULTS, partition_of

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]


def said(stack, kind):
    """Return all records of a kind on `results`."""
    return [
        kind.model_validate_json(record.value)
        for record in stack.records(RESULTS)
        if Envelope.of(record.headers).kind == kind.kind
    ]


def heard(stack):
    """Return the recommendations that say something of a model."""
    return [r for r in said(stack, Recommendation) if r.models]


@pytest.fixture
def another(stack):
    """Put another engine of the same task beside the shipped one."""
    folder = stack.folder / "home" / "engines" / "elsewhere"
    folder.parent.mkdir(parents=True)
    shutil.copytree(CATALOGUE / "response", folder)
    card = json.loads((folder / "engine.json").read_text())
    card |= {"name": "elsewhere", "version": "0.9.0", "simulated": True}
    (folder / "engine.json").write_text(json.dumps(card))
    return "elsewhere"


def test_a_final_series_yields_one_recommendation_with_model_evidence(
    stack, another, tmp_path, monkeypatch
):
    stack.policy = "longitudinal"
    for worker in ("scoring", "patients", "models"):
        models = stack.worker(worker)
    for worker in ("scoring", "patients", "models"):
        stack.wait_for_members(worker, 1)
    words = ("--patients", 1, "--studies", 2, "--slices", 12, "--seed", 5)
    assert stack.command("simulate", "--out", tmp_path / "scans", *words).returncode == 0
    done = stack.command("replay", tmp_path / "scans", timeout_s=120)
    assert done.returncode == 1, "truth.json is no frame"
    stack.answered(24, within_s=90)
    found = eventually(
        lambda: two if len(two := heard(stack)) == 2 else None,
        within_s=60,
        what="both series have evidence beside their recommendation",
    )
    evidence = {one.id: one for one in said(stack, ModelEvidence)}
    assert len(evidence) == 2
    assert len({r.series_instance_uid for r in found}) == 2
    for recommendation in found:
        (view,) = recommendation.models
        assert recommendation.phase == "update"
        assert view.evidence_id in recommendation.evidence
        assert evidence[view.evidence_id].status == "answered"
        assert evidence[view.evidence_id].series_instance_uid == recommendation.series_instance_uid
        assert view.text == evidence[view.evidence_id].text
        assert "no treatment is recorded" in view.text
    (patient_id,) = {r.patient_id for r in found}

    # Another engine, by setting alone: the scoring worker goes on as it is.
    stack.kill(models)
    stack.processes.remove(models)
    monkeypatch.setenv("LESIONSTREAM_MODELS", f"response,{another}")
    stack.worker("models")
    stack.wait_for_members("models", 1)
    plan = ("therapy", "add", patient_id, "--plan", "Study_1_Arm_1", "--flag", "frail")
    shown = max(r.event_time for r in found)  # as dates of images are: shifted
    key = load_or_make_key(stack.folder / "home" / "pseudonym.key")
    real = shown + timedelta(days=Pseudonyms(key).shift_days(patient_id))
    assert stack.command(*plan, "--start", real.date().isoformat()).returncode == 0
    eventually(
        lambda: any("elsewhere" in str(r.models) for r in heard(stack)),
        within_s=60,
        what="the other engine is heard",
    )
    last = heard(stack)[-1]
    (view,) = last.models
    assert (view.engine, view.simulated, view.agrees) == ("elsewhere 0.9.0", True, None)
    assert last.plan == "Study_1_Arm_1"
    (entered,) = stack.states()[patient_id]["therapies"]
    assert entered["therapy"]["start"][:10] == shown.date().isoformat(), "moved as the images are"
    every = {one.id: one for one in said(stack, ModelEvidence)}
    question = every[view.evidence_id].question
    latest = {one.engine.name: one.notes for one in every.values() if one.question == question}
    assert latest == {"response": (), "elsewhere": ()}, "the plan is known to both"


def test_what_is_no_assessment_is_set_aside_and_the_worker_goes_on(stack):
    stack.worker("models")
    stack.wait_for_members("models", 1)
    headers = Envelope("assessment", "made-up", "/elsewhere").headers()
    values = (b"", b"{", b'{"id": 1}', b"\xff" * 2000)
    stack.send_all(RESULTS, [("p-1", value, headers) for value in values])
    eventually(lambda: len(stack.dead_letters()) == 4, within_s=30, what="four dead letters")
    eventually(lambda: stack.behind("models", RESULTS) == 0, within_s=30, what="all is read")


def test_the_newest_record_is_found_however_far_back(stack):
    messages = [("p-1", str(number % 900).encode(), []) for number in range(1700)]
    stack.send_all(RESULTS, messages)
    partition = partition_of("p-1", RESULTS.partitions)
    topic = stack.names.of(RESULTS)
    with Reader(Cluster.plain(stack.kafka)) as reader:
        assert reader.partitions(topic) == RESULTS.partitions

        def newest(value, since=timedelta(hours=1)):
            found = reader.newest(
                topic,
                partition,
                lambda r: r.value == value,
                since=datetime.now(UTC) - since,
                within_s=30,
            )
            return found and found.offset

        assert newest(b"799") == 1699
        assert newest(b"0") == 900
        assert newest(b"850") == 850
        assert newest(b"850", since=timedelta(seconds=-60)) is None, "before that moment"
        assert newest(b"no such") is None


def test_plans_are_compared_by_the_pixels_of_the_lesion(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONSTREAM_MODELS", "response,effect")
    stack.policy = str(tmp_path / "site.toml")
    (tmp_path / "site.toml").write_text(SITE)
    for worker in ("scoring", "patients", "models"):
        stack.worker(worker)
    for worker in ("scoring", "patients", "models"):
        stack.wait_for_members(worker, 1)
    words = ("--patients", 1, "--studies", 1, "--slices", 12, "--seed", 5)
    assert stack.command("simulate", "--out", tmp_path / "scans", *words).returncode == 0
    stack.command("replay", tmp_path / "scans", timeout_s=120)
    found = eventually(
        lambda: [r for r in heard(stack) if len(r.models) == 2],
        within_s=120,
        what="both engines are heard",
    )
    (patient_id,) = {r.patient_id for r in found}
    (compared,) = [e for e in said(stack, ModelEvidence) if e.engine.task == "effect"]
    assert compared.simulated
    assert compared.status == "answered", compared.reason
    assert {plan.code for plan in compared.plans} == {"radiotherapy", "immunotherapy"}
    assert compared.findings
    (view,) = [v for v in found[-1].models if v.evidence_id == compared.id]
    assert (view.simulated, view.agrees) == (True, None)
    assert "next best" in view.text

    plan = ("therapy", "add", patient_id, "--plan", "chemotherapy", "--flag", "irradiated")
    assert stack.command(*plan).returncode == 0
    eventually(
        lambda: "Immunotherapy" in str(heard(stack)[-1].models),
        within_s=60,
        what="asked again, with the flag",
    )
    eventually(
        lambda: "adiotherapy" not in str(heard(stack)[-1].models),
        within_s=60,
        what="what is contraindicated is not named any more",
    )


SITE = """
[[plans]]
code = "radiotherapy"
name = "Radiotherapy, 10 x 3 Gy"
contraindications = ["irradiated"]

[[plans]]
code = "immunotherapy"
name = "Immunotherapy"
"""
