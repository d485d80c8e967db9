"""What is shown while TensorRT builds a plan: a bar on a terminal, lines of the log elsewhere."""

from types import TracebackType
from typing import Self

from rich.progress import TaskID

from lesionstream.console import note, progress_bar


class PlanProgress:
    """Told of a build as `engines.tensorrt_builder.build` tells it; shows nothing without one."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._bar = progress_bar("steps")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._tasks:
            self._bar.stop()
            if kind is None:
                note("TensorRT plan built", engine=self._engine)

    def __call__(self, phase: str, step: int, of: int) -> None:
        """Show that `phase` has done `step` of so many."""
        if not self._tasks:
            note("building a TensorRT plan, which takes minutes once", engine=self._engine)
            self._bar.start()
        if phase not in self._tasks:
            self._tasks[phase] = self._bar.add_task(f"{self._engine}: {phase}", total=of, note="")
        self._bar.update(self._tasks[phase], completed=step)
