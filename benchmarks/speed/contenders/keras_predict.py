"""The textbook: Keras `predict` on each lung of each frame, in the loop of `kafka_loop`.

The textbook's own classifier, with weights of chance: they do not change what a frame costs.
"""

from __future__ import annotations

import json
import os
from io import BytesIO

import numpy as np
import pydicom
from kafka import KafkaConsumer, KafkaProducer

from benchmarks.speed.contenders import options
from benchmarks.speed.contenders.kafka_loop import MAX_POLL_RECORDS
from engines import CtSlice, Preparation, prepare

VIEWS = Preparation("views", (-1000.0, 400.0), 256)


def main() -> None:
    """Answer until killed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    told = options.read()
    import tensorflow as tf

    from training.textbook_net import build

    tf.config.threading.set_intra_op_parallelism_threads(told.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = build()
    consumer = KafkaConsumer(
        told.frames,
        bootstrap_servers=told.kafka,
        group_id=told.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=MAX_POLL_RECORDS,
    )
    producer = KafkaProducer(bootstrap_servers=told.kafka, acks="all", compression_type="lz4")
    while True:
        for messages in consumer.poll(timeout_ms=500).values():
            for message in messages:
                ds = pydicom.dcmread(BytesIO(message.value))
                hu = ds.pixel_array.astype(np.float32) * np.float32(ds.RescaleSlope)
                hu += np.float32(ds.RescaleIntercept)
                rows, columns = map(float, ds.PixelSpacing)
                views = prepare(CtSlice(hu, (rows, columns)), VIEWS).views
                logits = [
                    model.predict(view[None, ..., None], verbose=0)["logit"] for view in views
                ]
                probability = float(1 / (1 + np.exp(-max(logit.max() for logit in logits))))
                answer = json.dumps({"lesion_probability": probability}).encode()
                producer.send(told.results, answer, key=message.key)
        producer.flush()
        consumer.commit()


if __name__ == "__main__":
    main()
