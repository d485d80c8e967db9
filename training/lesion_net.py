"""The lesion detector: a small U-Net with two maps at 2 mm, where a lesion is and how large.

Objects as points (Zhou et al., arXiv:1904.07850) on a U-Net (Ronneberger et al.,
arXiv:1505.04597). The first convolution halves the picture, so nothing is computed at 1 mm twice.
"""

from __future__ import annotations

from typing import Any


def build(down: tuple[int, ...] = (24, 48, 96, 128), up: tuple[int, ...] = (96, 48, 32)) -> Any:
    """Build the Keras model: (N, H, W, 1) float32 in [0, 1] -> (N, H / 2, W / 2, 2) float32.

    Parameters
    ----------
    down : channels at 2, 4, 8 and 16 mm; H and W must be multiples of 16.
    up : channels on the way back.

    Returns
    -------
    keras.Model
        Channel 0 is the logit of the heat map, channel 1 the log of the diameter in mm.
    """
    from keras import Input, Model, initializers, layers  # 4 s, training only

    view = Input((None, None, 1), name="field")
    x = convolved(view, down[0], kernel=5, stride=2)
    skips = []
    for level, channels in enumerate(down):
        if level:
            x = layers.MaxPooling2D(2)(x)
            x = convolved(x, channels)
        x = convolved(x, channels)
        skips.append(x)
    for channels, skip in zip(up, reversed(skips[:-1]), strict=True):
        x = layers.Conv2D(channels, 1)(x)
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        x = convolved(layers.Concatenate()([x, skip]), channels)
    # -4: a cell is a centre with probability 0.02 before anything was learnt; e^2 = 7.4 mm
    heads = [
        layers.Conv2D(1, 1, bias_initializer=initializers.Constant(value), dtype="float32")(x)
        for value in (-4.0, 2.0)
    ]
    return Model(view, layers.Concatenate(dtype="float32", name="maps")(heads), name="lesion")


def map_loss(target: Any, maps: Any) -> Any:
    """Focal loss of the heat map (arXiv:1904.07850, equation 1) and the error of the log size.

    Parameters
    ----------
    target : (N, h, w, 3), see `training.lesion_tiles.Batch`.
    maps : (N, h, w, 2), see `build`.
    """
    from keras import ops

    heat, counted, size = (target[..., i] for i in range(3))
    logit, log_mm = maps[..., 0], maps[..., 1]
    centre = counted * ops.cast(heat >= 1.0, "float32")
    p = ops.sigmoid(logit)
    hit = (1 - p) ** 2 * ops.softplus(-logit)
    false = (1 - heat) ** 4 * p**2 * ops.softplus(logit)
    focal = ops.sum(centre * hit + (counted - centre) * false)
    sizes = ops.sum(ops.cast(size > 0, "float32") * ops.abs(log_mm - size))
    return (focal + 0.2 * sizes) / (ops.sum(centre) + 1.0)


def convolved(x: Any, channels: int, kernel: int = 3, stride: int = 1) -> Any:
    """Apply a convolution, batch normalisation and ReLU; shapes as of ``padding="same"``."""
    from keras import layers

    x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.98)(x)
    return layers.ReLU()(x)
