"""Plans on a real card: built, compared, found again; batches; several engines. Needs a GPU."""

import gc
import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from engines import EngineFailed, cuda, load_engine
from engines.detector import HEAT
from engines.loading import load_model, load_on_gpu
from engines.on_gpu import BATCH, GpuOptions
from engines.parity import SHARE, TOLERANCE, gap, views
from engines.plan_store import PlanStore

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(cuda.lacking()), reason=cuda.lacking()),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return PlanStore(tmp_path_factory.mktemp("plans"))


def _load(store, precision="fp32", name="lesion", watch=None):
    _, model = load_on_gpu(name, precision=precision, gpu=GpuOptions(store, watch=watch))
    return model


@pytest.mark.parametrize("name", ["lesion", "textbook-256"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_both_backends_say_the_same(store, name, precision):
    if name != "lesion" and precision == "int8":
        pytest.skip("has no int8 file")
    _, cpu = load_model(name, precision="int8" if precision == "int8" else "fp32")
    model = _load(store, precision, name)
    assert model.batch == BATCH
    assert gap(cpu, model, share=SHARE[precision], batch=7) <= TOLERANCE[precision]
    model.close()


def test_work_is_captured_as_a_graph(store):
    model = _load(store)
    model.run(next(views(model.input_shape)))
    assert model.not_captured == ""
    model.close()


def test_a_stream_of_batches_says_what_single_ones_say(store):
    model = _load(store)
    frames = list(views(model.input_shape, 4 * model.batch))
    batches = [
        np.concatenate(frames[at : at + model.batch]) for at in range(0, len(frames), model.batch)
    ]
    pinned = model.pinned(model.batch)
    pinned[:] = batches[0]
    said = [answer[HEAT].copy() for answer in model.stream([pinned, *batches[1:]])]
    assert len(said) == 4
    for heat, batch in zip(said, batches, strict=True):
        assert np.array_equal(heat, model.run(batch)[HEAT])
    alone = np.concatenate([model.run(frame)[HEAT] for frame in frames])
    assert np.abs(np.concatenate(said) - alone).max() < TOLERANCE["fp32"]
    model.close()


def test_a_short_batch_is_answered_for_what_it_has(store):
    model = _load(store)
    frames = np.concatenate(list(views(model.input_shape, 5)))
    assert model.run(frames)[HEAT].shape[0] == 5
    with pytest.raises(EngineFailed, match="at most"):
        model.run(np.zeros((model.batch + 1, *model.input_shape[1:]), np.float32))
    model.close()


def test_a_plan_is_built_once_and_a_foreign_one_again(store):
    _load(store, "fp16").close()
    steps = []
    _load(store, "fp16", watch=lambda *step: steps.append(step)).close()
    assert steps == []
    for note in store.folder.glob("lesion-fp16-*.json"):
        said = json.loads(note.read_text())
        said["key"]["tensorrt"] = "8.6"
        note.write_text(json.dumps(said))
    _load(store, "fp16", watch=lambda *step: steps.append(step)).close()
    assert steps[-1][1] == steps[-1][2] > 0


def test_single_frames_in_between_do_not_disturb_a_stream(store):
    model = _load(store)
    frames = list(views(model.input_shape, 4))
    want = [model.run(frame)[HEAT] for frame in frames]
    for answer, heat in zip(model.stream(frames), want, strict=True):
        assert np.array_equal(answer[HEAT], heat)
        assert np.array_equal(model.run(frames[0])[HEAT], want[0])
        assert np.array_equal(answer[HEAT], heat)
    model.close()


@pytest.mark.filterwarnings("error")
def test_one_engine_follows_another_from_thread_to_thread(store):
    """As in a promotion: loaded by one thread, used and closed by another."""
    frame = next(views((-1, 1, 256, 352)))
    first = _load(store)
    with ThreadPoolExecutor(1) as loading, ThreadPoolExecutor(1) as engine:
        want = engine.submit(first.run, frame).result()[HEAT]
        second = loading.submit(_load, store, "fp16").result()
        engine.submit(first.close).result()
        del first
        gc.collect()
        said = engine.submit(second.run, frame).result()[HEAT]
        assert np.abs(said - want).max() < TOLERANCE["fp16"]
        engine.submit(second.close).result()


def test_a_plan_that_cannot_be_loaded_is_built_again(store):
    _load(store, "fp16").close()
    for note in store.folder.glob("lesion-fp16-*.json"):
        said = json.loads(note.read_text())
        said["sha256"] = hashlib.sha256(b"no plan").hexdigest()
        note.with_suffix(".plan").write_bytes(b"no plan")
        note.write_text(json.dumps(said))
    steps = []
    _load(store, "fp16", watch=lambda *step: steps.append(step)).close()
    assert steps


def test_auto_takes_the_card(store):
    told = []
    with_card = load_engine("lesion", gpu=GpuOptions(store), tell=told.append)
    assert told == []
    assert with_card.backend == "tensorrt-cuda"
    with_card.close()


def test_a_process_ends_cleanly_with_an_engine_open(store):
    code = (
        "import sys; from pathlib import Path; from engines.loading import load_on_gpu; "
        "from engines.on_gpu import GpuOptions; from engines.plan_store import PlanStore; "
        "_, m = load_on_gpu('lesion', gpu=GpuOptions(PlanStore(Path(sys.argv[1])))); "
        "import numpy as np; m.run(np.zeros((1, *m.input_shape[1:]), np.float32))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.folder)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
