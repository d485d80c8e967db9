"""What all commands share in what they show: stdout for answers, stderr for progress and logs."""

import json
import logging
import sys
import warnings
from typing import Any

import structlog
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

QUOTING = frozenset({"pydicom", "pynetdicom"})
"""Libraries that log values of the data set they were given."""

out = Console()
err = Console(stderr=True)


def say(line: str, style: str | None = None) -> None:
    """Write a line to stderr as it is: names of files are neither markup nor wrapped."""
    err.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def note(event: str, **words: str) -> None:
    """Say something by the way: in the log where there is one, else as a line on stderr."""
    if structlog.is_configured():
        structlog.get_logger(__name__).info(event, **words)
    else:
        say(f"{event}: {', '.join(words.values())}")


def print_json(value: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Write one JSON document a line on stdout, at once."""
    sys.stdout.write(json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def progress_bar(unit: str) -> Progress:
    """Return a progress bar on stderr that counts `unit`; silent where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=err,
        disable=not err.is_terminal,
    )


def set_up_logging(level: str) -> int:
    """Log to stderr: coloured lines on a terminal, JSON elsewhere. Return the level as a number."""
    number = logging.getLevelNamesMapping()[level.upper()]
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=max(number, logging.WARNING))
    for handler in logging.getLogger().handlers:
        handler.addFilter(_without_quotes)
    warnings.simplefilter("ignore", UserWarning)  # theirs quote, too
    return number


def _without_quotes(record: logging.LogRecord) -> bool:
    """Take the words out of what DICOM libraries log: they quote values of the data set."""
    if record.name.partition(".")[0] in QUOTING:
        record.msg = f"said {record.levelname.lower()} in {record.module}.{record.funcName}"
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
    return True
