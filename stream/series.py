"""What can be said of one series by itself. Pure."""

from stream.lesions import usual_step
from wire.patient import SeriesState


def frames_of(state: SeriesState) -> int:
    """Return how many different frames a series has, whatever their pixels."""
    return len({seen.place for seen in state.slices.values()})


def complete(state: SeriesState) -> bool:
    """Tell whether a series is final: all its slices are there, or it has been quiet.

    What was final stays so: a late slice makes the next final. (A greater count opens it again.)
    """
    return state.sealed is not None or state.closed_at > 0


def scored(state: SeriesState) -> bool:
    """Tell whether a series can be judged at all: a localizer has no scored slice."""
    if state.sealed is not None:
        return True
    return any(seen.probability is not None for seen in state.slices.values())


def pitch_of(state: SeriesState) -> float | None:
    """Return how far apart the slices lie, mm: as the device says, or farther if they do.

    A scan of thin slices with gaps says how thin they are, not how far apart: of a complete series
    the usual distance is known.
    """
    if not complete(state) or state.sealed is not None:
        return state.pitch_mm
    places = [seen.location_mm for seen in state.slices.values() if seen.location_mm is not None]
    return max(state.pitch_mm or 0.0, usual_step(places) or 0.0) or None
