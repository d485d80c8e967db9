"""Commands for tests of overload: slow while a brake is on, or quick to judge.

``python overload.py FILE worker scoring`` takes its time over each frame while FILE is there;
``python overload.py impatient watchdog`` measures for seconds where the real one takes half a
minute.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import monitor.symptoms as symptoms
from lesionstream.cli import main
from monitor.causes import CAUSES
from stream.scoring import Scorer

A_FRAME_S = 0.15
MEASURED_S, CATCH_UP_S = 3.0, 2.0


def braked(brake: Path) -> None:
    """Let each frame take `A_FRAME_S` and more while `brake` is there."""
    finish = Scorer.finish

    def slowly(self, readied):
        if brake.exists():
            time.sleep(A_FRAME_S)
        return finish(self, readied)

    setattr(Scorer, "finish", slowly)  # noqa: B010 - a method, to mypy


def impatient() -> None:
    """Judge by less: the rules are the same."""
    vars(symptoms).update(MEASURED_S=MEASURED_S, CATCH_UP_S=CATCH_UP_S)
    for name, cause in CAUSES.items():
        if name.endswith(("-behind", "-nobody")):
            CAUSES[name] = replace(cause, needed=2, among=3, over=2)


if __name__ == "__main__":
    how = sys.argv.pop(1)
    if how == "impatient":
        impatient()
    else:
        braked(Path(how))
    main()
