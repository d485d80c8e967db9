"""The card of an engine: what its engine.json says of data, figures and limits."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engines.errors import EngineFailed

Text = Annotated[str, Field(min_length=1)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

CT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image Storage
    "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image Storage
)
"""SOP Class UIDs of CT images."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


NAME_PATTERN = r"[a-z0-9][a-z0-9-]*"
"""Of an engine, and so of its folder: nothing that leads elsewhere."""


class Accepted(_Frozen):
    """Which images an engine was made for; an empty list accepts anything.

    Attributes
    ----------
    modalities : DICOM Modality (0008,0060) values.
    sop_class_uids : DICOM SOP Class UIDs.
    body_parts : words, one of which BodyPartExamined (0018,0015) must contain where it is set.
    """

    modalities: tuple[Text, ...]
    sop_class_uids: tuple[Text, ...]
    body_parts: tuple[Text, ...]

    def accepts(
        self, *, modality: str | None, sop_class_uid: str | None, body_part: str | None
    ) -> bool:
        """Tell whether an image is of the kind this engine was made for.

        Parameters
        ----------
        modality, sop_class_uid, body_part : as in the image; None where the image does not say.

        Returns
        -------
        bool
            False when anything the image says is against it, or when it says neither what
            modality nor what SOP class it is. An unset body part never refuses: many scanners
            leave it out.
        """
        if modality is None and sop_class_uid is None:
            return False
        said = ((modality, self.modalities), (sop_class_uid, self.sop_class_uids))
        if any(value is not None and known and value not in known for value, known in said):
            return False
        part = (body_part or "").strip().upper()
        return not part or not self.body_parts or any(word in part for word in self.body_parts)


class InputSpec(_Frozen):
    """The tensor a model takes.

    Attributes
    ----------
    shape : sizes in the order of `axes`; -1 is any batch size.
    axes : one letter an axis: N frame, C channel, H row, W column.
    spacing_mm : size of a pixel; None where views are scaled to fill the tensor.
    hu_window : (low, high) HU that are mapped to 0 and 1; None where the input is no image.
    """

    shape: tuple[int, ...]
    axes: Text
    spacing_mm: float | None = Field(default=None, gt=0.0)
    hu_window: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.shape) != len(self.axes):
            raise ValueError(f"shape {self.shape} and axes {self.axes!r} differ in length")
        if self.hu_window is not None and self.hu_window[0] >= self.hu_window[1]:
            raise ValueError(f"hu_window {self.hu_window} is not (low, high)")
        return self

    def window(self) -> tuple[float, float]:
        """Return the HU window of an input that is an image.

        Raises
        ------
        EngineFailed  it is none.
        """
        if self.hu_window is None:
            raise EngineFailed("engine.json names no hu_window: the input is no image")
        return self.hu_window


class OperatingPoints(_Frozen):
    """Thresholds in [0, 1].

    Attributes
    ----------
    screen : sensitivity first, on `lesion_probability`; of a forecast, on its
        `progression_probability`.
    alarm : few false alarms; on `lesions[].probability`, for a classifier on
        `lesion_probability`.
    """

    screen: Probability
    alarm: Probability


class ForecastSpec(_Frozen):
    """How a forecast is read from what its network answers; see `engines.forecaster`.

    Attributes
    ----------
    arms : of treatment, in the order of the input.
    edges : of the stretches, ascending: ``log((next + offset) / (last + offset))``.
    offset_mm : keeps readings of 0 mm finite.
    low_level, high_level : of the distribution, that bound 80 % of patients never seen.
    longest_mm, longest_wait_days : the greatest diameter and interval in training.
    """

    arms: tuple[Text, ...]
    edges: tuple[float, ...]
    offset_mm: float = Field(gt=0.0)
    low_level: Probability
    high_level: Probability
    longest_mm: float = Field(gt=0.0)
    longest_wait_days: float = Field(gt=0.0)


class EffectSpec(_Frozen):
    """How effects of plans are read from what a network answers; see `engines.effects`.

    Attributes
    ----------
    plans : codes, in the order of the answer.
    days : after which the diameter is compared.
    low, high : by plan: added to the expected change they bound 80 % of responses of patients
        never seen.
    noise : of a measured change; plans whose effects differ by less are as good as each other.
    strangest : 99 % of lesions never seen are less strange than this.
    """

    plans: tuple[Text, ...] = Field(min_length=2)
    days: float = Field(gt=0.0)
    low: tuple[float, ...]
    high: tuple[float, ...]
    noise: float = Field(ge=0.0)
    strangest: float = Field(gt=0.0)

    @model_validator(mode="after")
    def _one_for_each_plan(self) -> Self:
        if not len(self.plans) == len(self.low) == len(self.high):
            raise ValueError("low and high hold one number for each plan")
        return self


class DataSource(_Frozen):
    """One set of images a model has seen, and under what licence."""

    name: Text
    licence: Text
    use: Text
    cite: Text


class Figure(_Frozen):
    """One measured number.

    Attributes
    ----------
    name : what was measured, e.g. "AUC".
    value : the number.
    low, high : 95 % interval, None where there are too few patients for one.
    on : data, split and unit of counting.
    n : how many units, in words: "412 half-lungs of 98 patients".
    """

    name: Text
    value: float
    low: float | None = None
    high: float | None = None
    on: Text
    n: Text


KnownAnswers = tuple[float, float]
"""lesion_probability of a known clear frame, and of one with a nodule."""


class Variant(_Frozen):
    """The same network in fewer bits, in the file model.<precision>.onnx.

    Attributes
    ----------
    sha256 : of that file.
    figures : measured with it, at the same operating points.
    """

    precision: Literal["int8"]
    sha256: Sha256
    figures: tuple[Figure, ...]


class EngineCard(_Frozen):
    """What engine.json says, validated: every field is there for someone who must decide by it.

    Attributes
    ----------
    name, version : identity; with `sha256` part of every finding's id.
    task : what the model answers; "judge" is of one candidate, by the patch around it.
    simulated : True for a stand-in that was not trained on patients.
    description : one paragraph for a person.
    accepted : images it was made for; ask with `accepted.accepts`.
    input : the tensor it takes.
    operating_points : thresholds.
    calibration_shift : what was added to the calibrated logit of `lesion_probability` so that
        `screen` is 0.5; taken away again it gives the frequency in the data it was fitted to.
    forecast, effect : how the answer of an engine of that task is read.
    training_data, figures, prevalence, limits_of_use, licence : the honest part.
    sha256 : of model.onnx, hexadecimal, lower case; fp32.
    variants : the network in other precisions.
    precision : the one that is used unless another is asked for.
    known_answers : precision -> what it says of the two frames of `engines.known_answer`; empty
        where nobody asked.
    """

    name: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    task: Literal["detect", "classify", "judge", "segment", "forecast", "effect"]
    simulated: bool
    description: Text
    accepted: Accepted
    input: InputSpec
    operating_points: OperatingPoints
    calibration_shift: float = 0.0
    forecast: ForecastSpec | None = None
    effect: EffectSpec | None = None
    training_data: tuple[DataSource, ...]
    figures: tuple[Figure, ...]
    prevalence: Text
    limits_of_use: tuple[Text, ...]
    licence: Text
    sha256: Sha256
    variants: tuple[Variant, ...] = ()
    precision: Literal["fp32", "int8"] = "fp32"
    known_answers: dict[str, KnownAnswers] = {}

    @model_validator(mode="after")
    def _has_its_precision(self) -> Self:
        if self.precision not in ("fp32", *(v.precision for v in self.variants)):
            raise ValueError(f"precision {self.precision} is none of the variants")
        return self
