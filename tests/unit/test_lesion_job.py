"""A training run's folder: what is finished is not made again, what is another run's goes."""

from dataclasses import replace

import pytest

from engines import Figure
from training.lesion_card import as_good
from training.lesion_job import DONE, INT8_PREDICTIONS, Job, read_job
from training.recipes import LookRecipe, Recipe


@pytest.fixture
def job(tmp_path):
    recipe = Recipe(steps=9, look=LookRecipe(steps=4))
    return Job("one", tmp_path / "data", tmp_path / "run", recipe, (3, 7), 1, int8=True)


def test_a_job_reads_back(job):
    assert read_job(job.write()) == job
    assert job.steps == 13


def test_done_is_done_only_with_all_it_promised(job):
    job.write()
    assert not job.done
    (job.folder / DONE).write_text("")
    assert not job.done
    assert replace(job, int8=False).done
    (job.folder / INT8_PREDICTIONS).write_text("")
    assert job.done


@pytest.mark.parametrize(
    "change", [{"folds": (3, 6)}, {"seed": 2}, {"recipe": Recipe(steps=9, look=LookRecipe())}]
)
def test_nothing_of_another_run_is_gone_on_with(job, change):
    job.write()
    for name in (DONE, INT8_PREDICTIONS, "state.json", "model.keras"):
        (job.folder / name).write_text("")
    (job.folder / "look").mkdir()
    other = replace(job, **change)
    assert not other.done
    other.write()
    assert [path.name for path in job.folder.iterdir()] == ["job.json"]


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
    assert read_job(job.write()) == job


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
