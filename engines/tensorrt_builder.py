"""From a strongly typed ONNX file to a TensorRT plan: one path for TensorRT 10 and 11."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.errors import EngineFailed
from engines.tensorrt_common import sizes, started, tensorrt_log

if TYPE_CHECKING:
    import tensorrt as trt

Watch = Callable[[str, int, int], None]
"""Told what is being done, the step it is at, and of how many."""

WORKSPACE_BYTES = 1 << 30

REVISION = 1
"""Of this module: one more wherever it would build another plan of the same file."""


@dataclass(frozen=True, slots=True)
class Built:
    """A plan, and what was measured on the way: the next build on this card takes it up."""

    plan: bytes
    timing: bytes


def build(onnx: bytes, *, batch: int, timing: bytes = b"", watch: Watch | None = None) -> Built:
    """Build a plan for the card of this process; takes from seconds to some minutes.

    Parameters
    ----------
    onnx : see `engines.typed_onnx.typed`; its one input has a fixed first axis, or a free one.
    batch : of a free first axis the size of a batch, >= 1. There is a profile for one frame and,
        where `batch` is more, one for just so many.
    timing : the timing cache of an earlier build; one of another card or version is left out.

    Raises
    ------
    EngineFailed  TensorRT cannot read the file, or has no way to compute it.
    """
    import tensorrt as trt  # the `gpu` extra; never without a device, see `engines.cuda`

    log = tensorrt_log()
    builder = started(trt.Builder)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(onnx):
        errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise EngineFailed(f"TensorRT cannot read the file: {'; '.join(errors) or log.words()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of a fraction are not the 23 of fp32
    for profile in _profiles(builder, network, batch):
        config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timing)  # held until the plan is built
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    if watch is not None:
        config.progress_monitor = _monitor(watch)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineFailed(f"TensorRT cannot build the plan: {log.words()}")
    return Built(bytes(plan), bytes(config.get_timing_cache().serialize()))


def _profiles(
    builder: trt.Builder, network: trt.INetworkDefinition, batch: int
) -> list[trt.IOptimizationProfile]:
    import tensorrt as trt

    if network.num_inputs != 1:
        raise EngineFailed(f"the network has {network.num_inputs} inputs; one is expected")
    tensor = network.get_input(0)
    free, *rest = sizes(tensor.shape)
    if free != -1:
        return []
    profiles = []
    for size in sorted({1, batch}):
        profile = builder.create_optimization_profile()
        shape = trt.Dims([size, *rest])
        profile.set_shape(tensor.name, shape, shape, shape)
        profiles.append(profile)
    return profiles


def _monitor(watch: Watch) -> trt.IProgressMonitor:
    """Return a progress monitor that tells `watch` of the outermost phase."""
    import tensorrt as trt

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._steps[phase_name] = num_steps
                watch(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                watch(phase_name, step + 1, self._steps[phase_name])
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            steps = self._steps.pop(phase_name, None)
            if steps is not None:
                watch(phase_name, steps, steps)

    return Monitor()
