"""Studies of one patient, folded, and what was said of them."""

from support.folding import kinds, told
from support.records import series

from wire.errors import Reason
from wire.records import Alert, Recommendation

# Where lesions lie, mm.
A, B, C = (60.0, -20.0, 30.0), (-55.0, 10.0, 35.0), (40.0, 40.0, 25.0)


def visits(*sizes, moved=(5.0, -4.0, 2.0), **more):
    """Fold studies in which lesion a has these diameters; None where it is not there."""
    patient, said = None, []
    for study, size in enumerate(sizes, start=1):
        lesions = {} if size is None else {"a": (A, size)}
        lesions |= {name: place for name, place in more.items() if place[1] is not None}
        events = series(lesions, study=study, shift=moved if study > 1 else (0, 0, 0))
        patient, words = told(events, patient, first_offset=1000 * study)
        said.append(words)
    return patient, said


def rules(said):
    """Return the rules of what was recommended anew."""
    return [words.rule for words in kinds(said, Recommendation) if words.phase == "start"]


def question(said):
    """Return the one question that was asked."""
    (asked,) = [
        w
        for w in kinds(said, Recommendation)
        if w.phase == "start" and w.rule in ("new-lesion", "lesion-gone")
    ]
    return asked


def alarms(said):
    """Return cause, priority and phase of each alert."""
    return [(w.cause, w.priority, w.phase) for w in kinds(said, Alert)]


def localizer(study, images=2):
    """Return findings of images that are no slices."""
    unfit = {"status": "not-scored", "lesion_probability": None, "reason": Reason.QUALITY}
    return [
        f.model_copy(
            update=unfit
            | {"series_instance_uid": f"1.{study}-loc", "id": f.frame_id, "lesions": ()}
        )
        for f in series({}, study=study, images=images)
    ]
