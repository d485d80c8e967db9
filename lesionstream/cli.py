"""The command line: parses words, wires the rooms together, turns errors into one line each.

Commands import what they need when they run: decode processes start from this module too, and
must stay small.
"""

import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lesionstream import cli_devices, cli_monitor
from lesionstream.cli_engines import engines_app, evaluate_app, train_app
from lesionstream.cli_letters import letters_app
from lesionstream.cli_options import Jsonl, Paths
from lesionstream.cli_policies import policy_app
from lesionstream.cli_therapy import therapy_app
from lesionstream.cli_vault import vault_app

app = typer.Typer(
    name="lesionstream",
    help="Looks at each scan frame within a second. Decision support, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
topics_app = typer.Typer(no_args_is_help=True, help="The topics on Kafka, and who may what.")
app.add_typer(engines_app, name="engines")
app.add_typer(train_app, name="train")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(topics_app, name="topics")
app.add_typer(letters_app, name="dead-letters")
app.add_typer(policy_app, name="policy")
app.add_typer(therapy_app, name="therapy")
app.add_typer(vault_app, name="vault")
app.command()(cli_devices.listen)
app.command()(cli_devices.watch)
app.command()(cli_devices.replay)
app.command()(cli_devices.simulate)
app.command()(cli_monitor.monitor)
app.add_typer(cli_monitor.users_app, name="users")


class Device(StrEnum):
    """Where an engine runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class WorkerName(StrEnum):
    """The workers."""

    SCORING = "scoring"
    PATIENTS = "patients"
    MODELS = "models"


class TailTopic(StrEnum):
    """What `tail` watches."""

    RESULTS = "results"
    ALERTS = "alerts"
    ACTIONS = "actions"
    FRAMES = "frames"
    STAT = "frames.stat"


@app.command()
def forecast(
    file: Annotated[Path, typer.Argument(help="CSV: a reading a row.", show_default=False)],
    engine: Annotated[str, typer.Option(help="Engine of the catalogue.")] = "response",
    jsonl: Jsonl = False,
) -> None:
    """Forecast the next diameter of each patient of a table, and progression (docs/response.md).

    A row with no diameter is a visit that is planned.
    """
    from lesionstream.forecast import forecast as forecast_table

    forecast_table(file, engine=engine, jsonl=jsonl)


@app.command()
def infer(
    paths: Paths,
    engine: Annotated[str | None, typer.Option(help="Engine of the catalogue.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where it runs.")] = None,
    jsonl: Jsonl = False,
) -> None:
    """Score DICOM files without Kafka: one finding for each frame, a reason where there is none.

    Exit code 1 if any frame or file could not be scored.
    """
    from lesionstream import infer as command

    raise typer.Exit(command.infer(paths, engine=engine, device=device, jsonl=jsonl))


@app.command()
def up() -> None:
    """Start a local Kafka and Redis, create the topics, print where they are.

    Use it as: eval "$(lesionstream up)"
    """
    from lesionstream import servers

    servers.up()


@app.command()
def down() -> None:
    """Stop the local Kafka and Redis; their data stay."""
    from lesionstream import servers

    servers.down()


@app.command()
def worker(
    name: Annotated[WorkerName, typer.Argument(help="scoring, patients or models")],
    shadow: Annotated[
        str | None,
        typer.Option(help="scoring: this engine looks at every frame, too, and decides nothing."),
    ] = None,
    stat: Annotated[
        bool,
        typer.Option("--stat", help="scoring: urgent series alone, those in frames.stat."),
    ] = False,
    scale: Annotated[
        int, typer.Option(min=1, max=64, help="So many processes; one that ends is started again.")
    ] = 1,
) -> None:
    """Run a worker until it is told to stop; start as many as you like, on as many machines."""
    from lesionstream import scaling, workers

    if shadow is not None and name is not WorkerName.SCORING:
        fail("--shadow is for worker scoring.")
    if stat and name is not WorkerName.SCORING:
        fail("--stat is for worker scoring.")
    if scale > 1:
        more = [] if shadow is None else ["--shadow", shadow]
        more += ["--stat"] if stat else []
        scaling.run(["worker", name.value, *more], scale)
        return
    workers.run("scoring-stat" if stat else name.value, shadow=shadow)


@app.command()
def watchdog() -> None:
    """Say a heartbeat each second, and technical alarms for what blinds the ward."""
    from lesionstream import vigilance

    vigilance.watch()


@app.command()
def tail(
    topic: Annotated[
        TailTopic, typer.Argument(help="results, alerts, actions, frames or frames.stat")
    ],
    jsonl: Jsonl = False,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Show what is there already, too.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at the end instead of waiting for more.")
    ] = False,
) -> None:
    """Watch a topic."""
    from lesionstream import watching

    watching.tail(
        topic.value, jsonl=jsonl, from_beginning=from_beginning or until_end, follow=not until_end
    )


@app.command()
def patient(
    patient_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Pseudonym; without it, all are listed.")
    ] = None,
) -> None:
    """Show the state of a patient as JSON."""
    from lesionstream import watching

    raise typer.Exit(watching.patient(patient_id))


@app.command()
def reidentify(
    pseudonym: Annotated[str, typer.Argument(help="As it stands in results and alarms: p-...")],
    reason: Annotated[str, typer.Option(prompt="Why", help="Goes to the audit log.")],
) -> None:
    """Say who a patient is, as JSON. Who asked and why is noted in `audit.jsonl`."""
    from lesionstream import naming

    raise typer.Exit(naming.reidentify(pseudonym, reason))


@app.command()
def doctor() -> None:
    """Check everything, and say what to do about what is wrong. Exit code 1 if anything is."""
    from lesionstream import doctor as command

    raise typer.Exit(command.doctor())


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="Folder of DICOM; default: a simulated scanner.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, help="End by itself after so long; default: Ctrl-C.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames a second.")] = 5.0,
    picture: Annotated[
        Path | None, typer.Option(help="Save the last view of the table as SVG.")
    ] = None,
) -> None:
    """Start everything, let a scanner send images and show what is said of them, live."""
    from lesionstream import demo as command

    raise typer.Exit(command.demo(data, seconds=seconds, fps=fps, picture=picture))


@topics_app.command("create")
def topics_create() -> None:
    """Create the topics that are missing. Idempotent."""
    from lesionstream import topics

    topics.create()


@topics_app.command("describe")
def topics_describe() -> None:
    """Show each topic and what is wrong with it. Exit code 1 if anything is."""
    from lesionstream import topics

    raise typer.Exit(topics.describe())


@topics_app.command("acl")
def topics_acl(
    user: Annotated[str | None, typer.Option(help="Only this one: scoring, patients, ...")] = None,
    redis: Annotated[bool, typer.Option("--redis", help="The users of Redis instead.")] = False,
) -> None:
    """Print the commands that give each process what it needs, and no more."""
    from lesionstream import topics

    raise typer.Exit(topics.acl(user, redis=redis))


def fail(words: str) -> NoReturn:
    """Say what is wrong on stderr and end with exit code 2."""
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(words, err=True)
    raise SystemExit(2)


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors that are a sentence to the user and no traceback."""
    from engines import EngineError
    from identity.beds import BedsError
    from identity.pseudonyms import KeyFileError
    from identity.vault import VaultError
    from lesionstream.settings import SettingsError
    from local import LocalError
    from monitor.users import UsersFileError
    from producers.publisher import PublishError
    from producers.scanner.device import NotTaken
    from stream.policies import PolicyError
    from training.jobs import JobFailed
    from training.trials_table import TableError
    from wire.cluster import BrokerUnavailable
    from wire.decode_pool import DecoderUnavailable

    return (
        BedsError,
        VaultError,
        EngineError,
        KeyFileError,
        SettingsError,
        JobFailed,
        LocalError,
        PolicyError,
        PublishError,
        TableError,
        UsersFileError,
        NotTaken,
        BrokerUnavailable,
        DecoderUnavailable,
        OSError,
    )


def main() -> None:
    """Run the command line; never shows a traceback for what a user can put right."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # our errors say it in one line
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:  # where the process ends
        if not isinstance(error, _expected()):
            raise
        named = isinstance(error, OSError) and error.filename is not None
        fail(f"{error.filename}: {error.strerror}" if named else str(error))  # type: ignore[attr-defined]
