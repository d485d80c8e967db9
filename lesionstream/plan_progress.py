"""What is shown while TensorRT builds a plan: a bar on a terminal, lines of the log elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import TaskID

from engines.tensorrt_builder import Watch
from lesionstream.console import note, progress_bar


@contextmanager
def plan_progress(engine: str) -> Iterator[Watch]:
    """Yield what `engines.tensorrt_builder.build` is to tell; without a build nothing is shown."""
    bar = progress_bar("steps")
    tasks: dict[str, TaskID] = {}

    def watch(phase: str, step: int, of: int) -> None:
        if not tasks:
            note("building a TensorRT plan, which takes minutes once", engine=engine)
            bar.start()
        if phase not in tasks:
            tasks[phase] = bar.add_task(f"{engine}: {phase}", total=of, note="")
        bar.update(tasks[phase], completed=step)

    try:
        yield watch
    finally:
        if tasks:
            bar.stop()
    if tasks:
        note("TensorRT plan built", engine=engine)
