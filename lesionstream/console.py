"""What all commands share in what they show: stdout for answers, stderr for progress and logs."""

import json
import logging
import sys
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

out = Console()
err = Console(stderr=True)


def say(line: str, style: str | None = None) -> None:
    """Write a line to stderr as it is: names of files are neither markup nor wrapped."""
    err.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


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
    return number
