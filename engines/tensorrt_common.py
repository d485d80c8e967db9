"""What those who build plans and those who run them need of TensorRT both."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorrt as trt

_LAST = 5


class TensorRtLog:
    """Errors that TensorRT reported.

    Attributes
    ----------
    logger : to be handed to TensorRT, which does not hold it itself: keep this object as long.
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
        """Return its last errors; "it does not say why" where there is none."""
        return "; ".join(self._errors) or "it does not say why"


def sizes(dims: trt.Dims) -> tuple[int, ...]:
    """Return the sizes of a tensor; -1 is any."""
    return tuple(dims[i] for i in range(len(dims)))
