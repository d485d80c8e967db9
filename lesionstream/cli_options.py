"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[
    list[Path], typer.Argument(help="DICOM files, folders, zip archives", show_default=False)
]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="One JSON object a line on stdout.")]

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
