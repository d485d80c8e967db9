"""An engine's network on a GPU: its plan found or built, compared with the CPU, then loaded."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engines import cuda
from engines.errors import EngineFailed
from engines.model import Model
from engines.parity import SHARE, TOLERANCE, gap
from engines.plan_store import PlanKey, PlanStore
from engines.tensorrt_builder import REVISION, Watch, build
from engines.tensorrt_runtime import TensorRtModel
from engines.typed_onnx import PlanPrecision, typed

BATCH = 16
"""Frames that a plan takes at once, at most."""


@dataclass(frozen=True, slots=True)
class GpuOptions:
    """How plans come about.

    Attributes
    ----------
    store : where they lie; None builds one at each start.
    batch : of a file with a free first axis, the largest batch, >= 1.
    watch : told of the progress of a build, which takes from seconds to minutes.
    """

    store: PlanStore | None = None
    batch: int = BATCH
    watch: Watch | None = None


def on_gpu(
    engine: str,
    path: Path,
    precision: PlanPrecision,
    reference: Callable[[], Model],
    options: GpuOptions,
) -> TensorRtModel:
    """Load an engine's network on the first card of this process. Ask `cuda.lacking` before.

    Parameters
    ----------
    path : the file, whose bytes were checked.
    reference : opens the same file on the CPU, which a new plan is compared with.

    Raises
    ------
    EngineError   a package is missing.
    EngineFailed  TensorRT cannot read or compute it, or answers otherwise than the CPU.
    """
    try:
        import tensorrt as trt  # the `gpu` extra
    except (ImportError, OSError) as error:
        raise EngineFailed(f"TensorRT cannot be loaded: {error}") from error

    onnx = typed(path.read_bytes(), precision)
    card = cuda.devices()[0]
    key = PlanKey(
        engine=engine,
        onnx_sha256=hashlib.sha256(onnx).hexdigest(),
        precision=precision,
        batch=options.batch,
        builder=REVISION,
        tensorrt=trt.__version__,
        gpu=card.name,
        compute_capability=card.compute_capability,
    )
    store = options.store
    found = _found(store, key) if store is not None else None
    if found is not None:
        return found
    began = time.perf_counter()
    timing = store.timing(key) if store is not None else b""
    built = build(onnx, batch=options.batch, timing=timing, watch=options.watch)
    told = {
        "built": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "seconds": round(time.perf_counter() - began, 1),
    }
    if store is not None:
        store.keep_timing(key, built.timing)
    model = TensorRtModel(built.plan, precision=precision)
    try:
        apart = _apart(model, reference, precision)
        if apart > TOLERANCE[precision]:
            why = (
                f"{path}: on the GPU its answers differ by {apart:.4f} from those of the CPU, more "
                f"than the {TOLERANCE[precision]} that {precision} may. Use another precision, or "
                "the device cpu."
            )
            if store is not None:
                store.refuse(key, why)
            raise EngineFailed(why)
    except EngineFailed:
        model.close()
        raise
    if store is not None:
        store.keep(key, built.plan, {**told, "gap": apart})
    return model


def _found(store: PlanStore, key: PlanKey) -> TensorRtModel | None:
    """Load what was built before; None where there is nothing, or nothing that can be loaded."""
    refused = store.refused(key)
    if refused:
        raise EngineFailed(refused)
    plan = store.find(key)
    try:
        return None if plan is None else TensorRtModel(plan, precision=key.precision)
    except EngineFailed:  # built anew; what is wrong with the card itself is said there
        return None


def _apart(model: TensorRtModel, reference: Callable[[], Model], precision: PlanPrecision) -> float:
    cpu = reference()
    try:
        return gap(cpu, model, share=SHARE[precision], batch=model.batch)
    finally:
        cpu.close()
