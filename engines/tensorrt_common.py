"""What those who build plans and those who run them need of TensorRT both."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from engines.errors import EngineFailed

if TYPE_CHECKING:
    import tensorrt as trt

T = TypeVar("T")
_LAST = 5


class TensorRtLog:
    """Errors that TensorRT reported.

    Attributes
    ----------
    logger : to be handed to TensorRT.
    """

    def __init__(self) -> None:
        import tensorrt as trt  # the `gpu` extra; never without a device, see `engines.cuda`

        errors: deque[str] = deque(maxlen=_LAST)
        serious = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
                if severity in serious:
                    errors.append(msg.strip())

        self.logger = Logger()
        self._errors = errors

    def words(self) -> str:
        """Return its errors since this was last asked; "it does not say why" if there are none."""
        said = list(self._errors)
        self._errors.clear()
        return "; ".join(said) or "it does not say why"


@lru_cache(maxsize=1)
def tensorrt_log() -> TensorRtLog:
    """Return the one log of this process: TensorRT keeps to the first logger that it is given."""
    return TensorRtLog()


def started(make: Callable[[trt.ILogger], T]) -> T:
    """Return a builder or runtime, made with the log of this process.

    Raises
    ------
    EngineFailed  TensorRT has none for this card and driver: its bindings raise TypeError then.
    """
    log = tensorrt_log()
    try:
        return make(log.logger)
    except TypeError as error:
        raise EngineFailed(f"TensorRT does not start: {log.words()}") from error


def sizes(dims: trt.Dims) -> tuple[int, ...]:
    """Return the sizes of a tensor; -1 is any."""
    return tuple(dims[i] for i in range(len(dims)))
