"""The commands of the imaging side: `listen`, `watch`, `replay`, `simulate`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionstream.cli_options import Jsonl, Paths

Stat = Annotated[
    bool,
    typer.Option("--stat", help="They are urgent: to frames.stat. Needs worker scoring --stat."),
]
Rate = Annotated[float, typer.Option(min=0, max=1, help="Probability for each image.")]


def listen(
    allow: Annotated[
        list[str] | None,
        typer.Option(help="AE title of a device that may send; give one each. '*': everybody."),
    ] = None,
    stat: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AE_TITLE",
            help="One of them whose images are urgent; give one each. Needs worker scoring --stat.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: a free one.")] = 11112,
    ae_title: Annotated[str, typer.Option(help="The title that devices call.")] = "LESIONSTREAM",
    associations: Annotated[int, typer.Option(min=1, help="At most so many at a time.")] = 32,
) -> None:
    """Receive images by DICOM C-STORE and publish their frames; answers C-ECHO.

    Success is answered once all in-sync replicas, or the spool on the disk while the broker is
    away, have every frame of the object. TLS with client certificates: LESIONSTREAM_TLS_*.
    """
    from lesionstream import listening

    listening.listen(
        host=host,
        port=port,
        ae_title=ae_title,
        allow=allow or [],
        stat=stat or [],
        associations=associations,
    )


def watch(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Where devices drop files.")
    ],
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds that a file must stand still to count as whole.")
    ] = 2.0,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds after which one that cannot be used is set aside.")
    ] = 30.0,
    move_to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Move files there once they are published.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete files once they are published.")
    ] = False,
    stat: Stat = False,
) -> None:
    """Publish each DICOM file that a device drops into a folder, also within zips.

    Files stay where they are unless told otherwise; which are done is remembered over restarts.
    """
    from lesionstream import folder_watch

    folder_watch.watch(folder_watch.Wish(folders, settle, patience, move_to, delete, stat))


def replay(
    paths: Paths,
    fps: Annotated[
        float | None, typer.Option(min=0.001, help="At most so many frames a second.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end, for ever.")] = False,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Files in an order of chance.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of --shuffle: same seed, same order.")
    ] = None,
    as_acquired: Annotated[
        bool, typer.Option("--as-acquired", help="In the order and with the gaps the devices had.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Of --as-acquired: so many times as fast.")
    ] = None,
    stat: Stat = False,
) -> None:
    """Publish DICOM to `frames` as a device would; what cannot be a frame goes to quarantine.

    Running it again publishes the same frames with the same ids: nothing counts twice. Exit code
    1 if something could not become a frame.
    """
    from lesionstream import replaying

    for given, words in (
        (as_acquired and shuffle, "--as-acquired and --shuffle are two orders: choose one."),
        (as_acquired and fps, "--as-acquired has its own rate: --speed instead of --fps."),
        (seed is not None and not shuffle, "--seed is for --shuffle."),
        (speed is not None and not as_acquired, "--speed is for --as-acquired."),
    ):
        if given:
            raise typer.BadParameter(words)
    order = replaying.Order(shuffle, seed, as_acquired, speed or 1.0)
    raise typer.Exit(replaying.replay_paths(paths, fps=fps, loop=loop, order=order, stat=stat))


def simulate(
    out: Annotated[Path | None, typer.Option(help="Write DICOM files and truth.json here.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send by C-STORE to this listener.")
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="They take turns in course.")] = 4,
    studies: Annotated[int, typer.Option(min=1, help="Of each patient, six weeks apart.")] = 3,
    slices: Annotated[int, typer.Option(min=1, max=80, help="Of each series, 2.5 mm.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pixels.")] = 1,
    fps: Annotated[float | None, typer.Option(min=0.01, help="At most so many a second.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="New patients come, for ever.")] = False,
    truth: Annotated[Path | None, typer.Option(help="With --to: write the truth here.")] = None,
    calling: Annotated[str, typer.Option(help="AE title of the scanner.")] = "SIMSCANNER",
    called: Annotated[str, typer.Option(help="AE title of the listener.")] = "LESIONSTREAM",
    duplicates: Rate = 0.0,
    out_of_order: Rate = 0.0,
    dropped: Rate = 0.0,
    truncated: Rate = 0.0,
    tls: Annotated[bool, typer.Option("--tls", help="Send by TLS: LESIONSTREAM_TLS_*.")] = False,
    jsonl: Jsonl = False,
) -> None:
    """Scan simulated patients: chest CT with lesions that grow, shrink or stay, and the truth.

    A device's faults: duplicates, images out of order, dropped associations, truncated images.
    """
    from lesionstream import simulating
    from lesionstream.settings import SettingsError
    from producers.scanner.device import Faults

    plan = simulating.Plan(patients, studies, slices, seed, loop)
    if (out is None) == (to is None):
        raise SettingsError("simulate needs either --out FOLDER or --to HOST:PORT")
    if out is not None:
        raise typer.Exit(simulating.write_files(plan, out))
    assert to is not None  # noqa: S101
    raise typer.Exit(
        simulating.send(
            plan,
            to=to,
            calling=calling,
            called=called,
            fps=fps,
            faults=Faults(duplicates, out_of_order, dropped, truncated),
            truth_file=truth,
            tls=tls,
            jsonl=jsonl,
        )
    )
