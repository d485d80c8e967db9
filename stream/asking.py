"""Ask an engine about a prepared slice until it says something, or it is clear that it does not."""

from engines import Engine, EngineFailed, NotScorable, Prepared, Score, implausible
from stream.retrying import GaveUp, Retry
from wire.errors import FrameError, Reason
from wire.frame import Attributes


class EngineGaveUp(FrameError):
    """The engine failed on this frame as often as it was asked.

    Operator action: see what the engine's known-answer check says (``lesionstream doctor``); when
    it is well again, ``lesionstream dead-letters replay --reason engine-failed``.
    """

    def __init__(self, detail: str, about: Attributes, attempts: int) -> None:
        super().__init__(Reason.ENGINE_FAILED, detail, about)
        self.attempts = attempts


def ask(engine: Engine, prepared: Prepared, about: Attributes, retry: Retry) -> Score:
    """Return what `engine` says of a slice: probabilities that are some, lesions within the frame.

    Parameters
    ----------
    about : whose slice it is, for the error.

    Raises
    ------
    FrameError   it cannot be scored by this engine, however often it is tried.
    EngineGaveUp   the engine raised, or answered with what is no score, each time.
    """

    def once() -> Score:
        score = engine.infer(prepared)
        wrong = implausible(score, prepared.shape)
        if wrong:
            raise _NoScore(wrong)
        return score

    try:
        return retry.ask(once, _may_pass)
    except NotScorable as error:
        raise FrameError(Reason(error.reason), error.detail, about) from error
    except GaveUp as gave_up:
        why = gave_up.__cause__
        words = f"engine {engine.card.name} {engine.card.version} failed: {_in_words(why)}"
        raise EngineGaveUp(words, about, gave_up.attempts) from why


class _NoScore(EngineFailed):
    """The answer is no score; its words are ours and quote nothing.

    Operator action: as of `EngineGaveUp`.
    """


def _may_pass(error: Exception) -> bool:
    """Tell whether it may answer the next time: researchers bring models that raise anything."""
    return not isinstance(error, NotScorable)


def _in_words(error: BaseException | None) -> str:
    """Say how an engine failed: by types alone, for messages may quote the frame."""
    if isinstance(error, _NoScore):
        return str(error)
    inner = None if error is None else error.__cause__
    because = "" if inner is None else f" because of {type(inner).__name__}"
    return f"it raised {type(error).__name__}{because}"
