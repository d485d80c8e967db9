"""A training run's folder: what is finished is not made again, what is another run's goes."""

from dataclasses import replace
from pathlib import Path

import pytest

from engines import Figure
from training.candidate import job as candidate_job
from training.candidate_job import CandidateJob
from training.jobs import DONE
from training.lesion import fit_job, predict_job
from training.lesion_card import as_good
from training.lesion_fit_job import FitJob
from training.lesion_predict_job import PredictJob
from training.recipes import SHIPPED, PatchRecipe, Recipe


@pytest.fixture
def job(tmp_path):
    return fit_job(tmp_path / "data", tmp_path, "long", (3, 7), 1)


def test_a_job_reads_back(job, tmp_path):
    assert FitJob.read(job.write()) == job
    assert job.steps == 9000
    pair = tuple(fit_job(Path("data"), tmp_path, recipe, (3, 7), 1) for recipe in SHIPPED)
    predicts = predict_job(pair, "both", (2, 1), int8=True)
    assert PredictJob.read(predicts.write()) == predicts
    judges = candidate_job(Path("data"), tmp_path, PatchRecipe(steps=5), 2, 1)
    assert CandidateJob.read(judges.write()) == judges


def test_done_is_what_says_so(job):
    job.write()
    assert not job.done
    (job.folder / DONE).write_text("")
    assert job.done
    job.write()
    assert not job.done


@pytest.mark.parametrize("change", [{"folds": (3, 6)}, {"seed": 2}, {"recipe": Recipe(steps=9)}])
def test_nothing_of_another_run_is_gone_on_with(job, change):
    job.write()
    for name in (DONE, "state.json", "model.keras"):
        (job.folder / name).write_text("")
    other = replace(job, **change)
    assert not other.done
    other.write()
    assert [path.name for path in job.folder.iterdir()] == ["job.json"]


def test_other_data_or_threads_are_no_other_run(job):
    job.write()
    (job.folder / DONE).write_text("")
    assert replace(job, data=Path("elsewhere"), threads=2).done


def test_the_same_run_keeps_its_state_and_is_not_done_until_it_says_so(job):
    job.write()
    for name in (DONE, "state.json"):
        (job.folder / name).write_text("")
    job.write()
    assert sorted(path.name for path in job.folder.iterdir()) == ["job.json", "state.json"]


def test_a_torn_job_file_is_another_run(job):
    path = job.write()
    path.write_text('{"name": ')
    assert not job.done
    assert FitJob.read(job.write()) == job


def test_what_predicts_depends_on_every_network_it_averages(tmp_path):
    def predicts(*recipes):
        fits = tuple(fit_job(Path("data"), tmp_path, recipe, (3, 7), 1) for recipe in recipes)
        return predict_job(fits, "both", (2,))

    one = predicts("base", "long")
    one.write()
    (one.folder / DONE).write_text("")
    assert one.done
    assert not predicts("base", "wide").done


def _figures(froc, small):
    values = {"mean FROC sensitivity": froc, "sensitivity, < 6 mm": small}
    return [
        Figure(name=name, value=value, low=0.6, high=0.9, on="here", n="some")
        for name, value in values.items()
    ]


@pytest.mark.parametrize(
    ("froc", "small", "good"),
    [(0.80, 0.70, True), (0.795, 0.61, True), (0.78, 0.70, False), (0.80, 0.59, False)],
)
def test_the_cheaper_network_is_used_only_if_it_is_as_good(froc, small, good):
    assert as_good(_figures(froc, small), _figures(0.80, 0.70)) == good
