"""The textbook: Keras `predict` on the lungs of each frame, in the loop of `kafka_loop`.

The textbook's own classifier, with weights of chance: they do not change what a frame costs. Keras
itself advises against `predict` on a few items at a time; textbooks do not.
"""

from __future__ import annotations

import json
import os
from io import BytesIO

import cv2
import numpy as np
import pydicom

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.kafka_loop import loop
from benchmarks.speed.contenders.scores import hu
from engines import CtSlice, Preparation, prepare

VIEWS = Preparation("views", (-1000.0, 400.0), 256)


def main() -> None:
    """Answer until killed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    told = options.read()
    import tensorflow as tf

    from training.textbook_net import build

    cv2.setNumThreads(1)
    tf.config.threading.set_intra_op_parallelism_threads(told.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = build()

    def answer(payload: bytes, received: str) -> bytes:
        ds = pydicom.dcmread(BytesIO(payload))
        rows, columns = map(float, ds.PixelSpacing)
        views = prepare(CtSlice(hu(ds), (rows, columns)), VIEWS).views
        logit = model.predict(np.stack(views)[..., None], verbose=0)["logit"].max()
        probability = float(1 / (1 + np.exp(-logit)))
        told = {"sop_instance_uid": ds.SOPInstanceUID, "received_time": received}
        return json.dumps(told | {"lesion_probability": probability}).encode()

    loop(told, answer)


if __name__ == "__main__":
    main()
