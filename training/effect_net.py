"""The network that says what plans would do to a lesion: a picture in, a number a plan out."""

from __future__ import annotations

from typing import Any

from engines.effects import SIDE

FEATURES = 24
"""Numbers in which the last layer sees a lesion; how strange a picture is, is measured in them."""


def build(plans: int, channels: tuple[int, ...] = (16, 32, 48)) -> Any:
    """Build the Keras model: (N, 32, 32, 1) in [0, 1] -> (N, plans + FEATURES) float32.

    The first `plans` numbers are the expected change of the diameter by plan.

    Parameters
    ----------
    channels : of the blocks at 1, 2 and 4 mm.
    """
    from keras import Input, Model, layers  # 4 s, training only

    view = Input((SIDE, SIDE, 1), name="lesion")
    x, seen = view, []
    for level, wide in enumerate(channels):
        if level:
            x = layers.AveragePooling2D(2)(x)
        for _ in range(2):
            x = layers.Conv2D(wide, 3, padding="same", activation="swish")(x)
        # each scale is seen as a whole: size, density and unevenness are sums over the lesion
        seen += [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    pooled = layers.LayerNormalization()(layers.Concatenate()(seen))
    features = layers.Dense(FEATURES, activation="tanh", name="features")(
        layers.Dropout(0.1)(layers.Dense(64, activation="swish")(pooled))
    )
    effects = layers.Dense(plans, dtype="float32", name="effect")(features)
    return Model(view, layers.Concatenate(dtype="float32")([effects, features]), name="effects")
