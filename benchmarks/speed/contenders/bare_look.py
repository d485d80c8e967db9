"""Decoding and preparing alone, of frames that lie in memory; prints as `bare_engine` does."""

from __future__ import annotations

import cv2

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.bare_engine import measured
from engines import load_engine
from stream.looking import Wanted, look


def main() -> None:
    """Look at every frame of the topic."""
    told = options.read()
    cv2.setNumThreads(1)
    wanted = Wanted.by(load_engine("lesion"))
    measured(told, lambda payload: look(payload, None, wanted))


if __name__ == "__main__":
    main()
