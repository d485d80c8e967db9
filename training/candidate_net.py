"""The network that judges one candidate by the 48 x 48 mm around it."""

from __future__ import annotations

from typing import Any

SIDE = 48


def build(channels: tuple[int, ...] = (24, 48, 96, 128)) -> Any:
    """Build the Keras model: (N, 48, 48, 1) float32 in [0, 1] -> (N, 1) float32 logit.

    Parameters
    ----------
    channels : of the blocks at 1, 2, 4 and 8 mm.
    """
    from keras import Input, Model, layers  # 4 s, training only

    from training.lesion_net import convolved

    view = Input((SIDE, SIDE, 1), name="patch")
    x = convolved(view, channels[0] * 3 // 4)
    for level, wide in enumerate(channels):
        if level:
            x = layers.MaxPooling2D(2)(x)
            x = convolved(x, wide)
        x = convolved(x, wide)
    # the candidate lies in the middle; the rest says what it hangs on
    middle = layers.GlobalAveragePooling2D()(layers.Cropping2D(2)(x))
    everywhere = layers.GlobalMaxPooling2D()(x)
    hidden = layers.Dropout(0.3)(layers.Concatenate()([middle, everywhere]))
    hidden = layers.Dropout(0.3)(layers.Dense(64, activation="relu")(hidden))
    return Model(view, layers.Dense(1, dtype="float32", name="logit")(hidden), name="patch")
