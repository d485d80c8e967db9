"""Remember what a pure function made, for as long as it is asked about the same things.

A ward of 200 patients is looked at twice a second, and in half a second a few of them change.
"""

import operator
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Memo(Generic[Made]):
    """One result a key: the last. Thread-safe.

    Parameters
    ----------
    most : keys that are kept; those not asked for longest go.
    same : whether two arguments count as the same. By identity a deep object costs nothing to
        compare; it must be frozen then.
    """

    def __init__(self, most: int, same: Callable[[object, object], bool] = operator.is_) -> None:
        self._most = most
        self._same = same
        self._kept: OrderedDict[Hashable, tuple[tuple[object, ...], Made]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[..., Made], *given: object) -> Made:
        """Return ``make(*given)``, or what it made for this key of the same arguments."""
        with self._lock:
            before = self._kept.get(key)
        if before is not None and all(map(self._same, before[0], given)):
            return before[1]
        made = make(*given)
        with self._lock:
            self._kept[key] = (given, made)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made
