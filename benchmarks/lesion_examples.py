"""docs/lesion-examples.png: what the lesion engine answers on whole frames, right and wrong.

Run as ``python -m benchmarks.lesion_examples --data FOLDER``, where FOLDER holds `lidc-dicom`: of
the slices with a lesion the surest and the least sure of each patient, then the likeliest of those
that no reader marked.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from engines import load_engine
from training.frame_pictures import Picture, draw
from training.lidc import Frame, score

OUT = Path(__file__).parents[1] / "docs" / "lesion-examples.png"
COLUMNS = 4


def main() -> int:
    """Score, choose, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lesion_examples")
    parser.add_argument("--data", type=Path, required=True, help="parent of lidc-dicom")
    args = parser.parse_args()
    engine = load_engine("lesion", device="cpu")
    screen = engine.card.operating_points.screen
    frames = score(args.data / "lidc-dicom", engine)
    engine.close()
    by_patient: dict[str, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: -frame.probability):
        if frame.lesion:
            by_patient[frame.file.split("/")[0]].append(frame)
    found = [frame for of in by_patient.values() for frame in (of[0], of[-1])]
    clean = sorted((frame for frame in frames if frame.clean), key=lambda frame: -frame.probability)
    shown = [*found[:COLUMNS], *clean[:COLUMNS]]
    pictures = [_with_words(draw(frame, screen), frame) for frame in shown]
    rows = [np.hstack(pictures[at : at + COLUMNS]) for at in range(0, len(pictures), COLUMNS)]
    cv2.imwrite(str(OUT), np.vstack(rows), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(OUT)
    return 0


def _with_words(picture: Picture, frame: Frame) -> Picture:
    """Write below a picture which frame it is, and how likely the engine calls a lesion."""
    below = np.full((22, picture.shape[1], 3), 255, np.uint8)
    name = frame.file.removesuffix(".dcm").removeprefix("LIDC-IDRI-").rstrip("0").rstrip(".")
    words = f"{name}: {'lesion' if frame.lesion else 'nobody marked'}, {frame.probability:.2f}"
    cv2.putText(below, words, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(np.vstack([picture, below]), dtype=np.uint8)


if __name__ == "__main__":
    sys.exit(main())
