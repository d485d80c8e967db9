"""The training loop: any Keras model, batches by number, resumable, averaged weights.

Layers compute in bfloat16 where the processor does (`built`); weights, heads and loss stay float32.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOSSES = "losses.json"
"""What `Run.finish` leaves beside the model: the loss of every step."""

_DECAY, _WARM_UP, _EMA = 1e-4, 0.04, 0.997
_SAVE_S = 120.0

Draw = Callable[[int], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Make batch `number`: what the network sees and its target; the same for the same number."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """AdamW with a short rise to `rate`, then half a cosine down, over `steps` batches."""

    steps: int
    rate: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: steps made of steps planned, and the mean loss of the last 50."""

    step: int
    steps: int
    loss: float


class Run:
    """The folder of one run: while it is unfinished, all that is needed to go on.

    Parameters
    ----------
    folder : made if missing.
    what : describes the run; a saved state of another one is not gone on with.

    Attributes
    ----------
    notes : whatever else must survive an interruption; plain JSON.
    losses : one a step.
    """

    def __init__(self, folder: Path, what: dict[str, Any]) -> None:
        self._folder = folder
        self._what = json.loads(json.dumps(what))
        self.notes: dict[str, Any] = {}
        self.losses: list[float] = []
        folder.mkdir(parents=True, exist_ok=True)

    def resume(self, model: Any) -> int:
        """Load what was saved of the same run; return the step to go on from."""
        state = self._folder / "state.json"
        if not state.is_file():
            return 0
        saved = json.loads(state.read_text())
        if saved["what"] != self._what:
            return 0
        model.optimizer.build(model.trainable_variables)
        with np.load(self._folder / f"state-{saved['step']}.npz") as values:
            for i, variable in enumerate([*model.variables, *model.optimizer.variables]):
                variable.assign(values[str(i)])
        self.losses, self.notes = saved["losses"], saved["notes"]
        return int(saved["step"])

    def save(self, model: Any, step: int) -> None:
        """Write weights first, then the small file that names them; the old ones go last."""
        variables = [*model.variables, *model.optimizer.variables]
        values = {str(i): np.asarray(v) for i, v in enumerate(variables)}
        np.savez(self._folder / f"state-{step}.npz", allow_pickle=False, **values)
        state = {"what": self._what, "step": step, "losses": self.losses, "notes": self.notes}
        draft = self._folder / "state.json.part"
        draft.write_text(json.dumps(state))
        draft.replace(self._folder / "state.json")
        for old in self._folder.glob("state-*.npz"):
            if old.name != f"state-{step}.npz":
                old.unlink()

    def finish(self, model: Any, name: str) -> None:
        """Leave the model, whole or not at all, and the losses; remove the rest."""
        part = self._folder / f"part-{name}"
        model.save(part)
        part.replace(self._folder / name)
        (self._folder / LOSSES).write_text(json.dumps(self.losses))
        for old in (self._folder / "state.json", *self._folder.glob("state-*.npz")):
            old.unlink(missing_ok=True)


def built(build: Callable[[], Any]) -> Any:
    """Build a Keras model that computes in bfloat16 if the processor can, else in float32.

    What is saved of it holds float32 weights, for a model built either way.
    """
    import keras  # heavy, training only

    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if _knows_bfloat16() else usual)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(usual)


def _knows_bfloat16() -> bool:
    """Whether what TensorFlow computes on has instructions for bfloat16, not an emulation."""
    import tensorflow as tf  # heavy, training only

    cards = tf.config.list_physical_devices("GPU")
    if cards:
        told = tf.config.experimental.get_device_details(cards[0])
        return tuple(told.get("compute_capability", (0, 0))) >= (8, 0)
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and bool({"avx512_bf16", "amx_bf16"} & set(flags.read_text().split()))


def train(
    model: Any,
    loss: Callable[[Any, Any], Any] | Any,
    draw: Draw,
    schedule: Schedule,
    *,
    run: Run,
    name: str,
    watch: Callable[[Progress], None],
) -> None:
    """Train `model` in place; go on where `run` holds a saved state.

    Afterwards the model has the exponential average of its weights, and the run's folder holds it
    as `name`, a .keras file, and `LOSSES`.
    """
    import keras  # heavy, training only

    optimizer = keras.optimizers.AdamW(
        schedule.rate, weight_decay=_DECAY, use_ema=True, ema_momentum=_EMA, clipnorm=5.0
    )
    model.compile(optimizer, loss=loss)
    step = run.resume(model)
    saved = time.monotonic()
    while step < schedule.steps:
        optimizer.learning_rate.assign(schedule.rate * _rate(step / schedule.steps))
        run.losses.append(float(model.train_on_batch(*draw(step))))
        step += 1
        if step % 50 == 0 or step == schedule.steps:
            watch(Progress(step, schedule.steps, float(np.mean(run.losses[-50:]))))
        if time.monotonic() - saved > _SAVE_S:
            run.save(model, step)
            saved = time.monotonic()
    optimizer.finalize_variable_values(model.trainable_variables)
    run.finish(model, name)


def _rate(done: float) -> float:
    """Learning rate, of 1: a short rise, then half a cosine to 1 %."""
    if done < _WARM_UP:
        return 0.1 + 0.9 * done / _WARM_UP
    return max(0.01, (1 + math.cos(math.pi * done)) / 2)
