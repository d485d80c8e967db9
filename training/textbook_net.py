"""The textbook network: three convolution blocks, a dense layer, a sigmoid.

Two liberties, both for the little data there is. The feature map is pooled by its maximum before
the dense layer, so that a 5 mm nodule counts wherever it lies and the file stays small. And a
1 x 1 convolution marks each cell of the map as nodule or not; it is trained on the readers'
boxes and its maximum is one more input of the dense layer.
"""

from __future__ import annotations

from typing import Any


def build(width: int = 16) -> Any:
    """Build the Keras model: (N, S, S, 1) float32 in [0, 1] -> two float32 outputs.

    Parameters
    ----------
    width : channels of the first block; the next have twice and four times as many.

    Returns
    -------
    keras.Model
        Outputs `logit` (N, 1) of the view and `map` (N, S / 8, S / 8, 1), logits of the cells.
    """
    from keras import Input, Model, initializers, layers  # 4 s, training only

    view = Input((None, None, 1), name="view")
    x = view
    for block, convolutions in enumerate((1, 2, 3)):
        for _ in range(convolutions):
            x = layers.Conv2D(width * 2**block, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization(momentum=0.95)(x)
            x = layers.ReLU()(x)
        x = layers.MaxPooling2D(2)(x)
    # -2.9: a cell is a nodule with probability 0.05 before anything was learnt (focal loss, 4.1)
    prior = initializers.Constant(-2.9)
    cells = layers.Conv2D(1, 1, bias_initializer=prior, dtype="float32", name="map")(x)
    pooled = layers.Concatenate()(
        [layers.GlobalMaxPooling2D(dtype="float32")(part) for part in (x, cells)]
    )
    hidden = layers.Dense(32, activation="relu", dtype="float32")(layers.Dropout(0.2)(pooled))
    logit = layers.Dense(1, dtype="float32", name="logit")(hidden)
    return Model(view, {"logit": logit, "map": cells}, name="textbook")


def map_loss(target: Any, logits: Any) -> Any:
    """Focal loss over cells (Lin et al., arXiv:1708.02002, gamma 2), per nodule cell of a batch.

    Parameters
    ----------
    target : (N, h, w, 1): 1 nodule, 0 none, -1 not counted.
    logits : the same shape.
    """
    from keras import ops

    counted = ops.cast(target >= 0, "float32")
    positive = ops.cast(target > 0, "float32")
    p = ops.sigmoid(logits)
    hit = positive * (1 - p) ** 2 * ops.softplus(-logits)
    false = (1 - positive) * p**2 * ops.softplus(logits)
    return ops.sum(counted * (hit + 0.5 * false)) / (ops.sum(positive) + 1.0)
