"""`engines list` and `engines info`."""

from rich.markup import escape
from rich.table import Table

from engines import EngineCard, list_engines
from engines.loading import read_card
from lesionstream.console import out, print_json
from lesionstream.settings import settings


def list_all(*, as_json: bool) -> None:
    """Show every engine of the catalogue, the one in use marked."""
    cards = list_engines()
    if as_json:
        print_json([card.model_dump(mode="json") for card in cards])
        return
    table = Table("", "engine", "version", "task", "trained on", "screen", "alarm")
    for card in cards:
        points = card.operating_points
        table.add_row(
            "*" if card.name == settings().engine else "",
            card.name,
            card.version,
            card.task,
            "a simulation" if card.simulated else escape(", ".join(_sets(card))),
            f"{points.screen:.2f}",
            f"{points.alarm:.2f}",
        )
    out.print(table)


def info(name: str, *, as_json: bool) -> None:
    """Show one engine's card."""
    card = read_card(name)
    if as_json:
        print_json(card.model_dump(mode="json"))
        return
    out.print(f"[bold]{card.name}[/] {card.version} ({card.task})", highlight=False)
    out.print(escape(card.description))
    figures = Table("figure", "value", "95 % interval", "on", "units")
    for f in card.figures:
        interval = "none" if f.low is None else f"{f.low:.3f} to {f.high:.3f}"
        figures.add_row(escape(f.name), f"{f.value:.3f}", interval, escape(f.on), escape(f.n))
    out.print(figures)
    for title, lines in (
        ("Where it fails", card.limits_of_use),
        ("Trained on", [f"{d.name} ({d.licence}): {d.use}. {d.cite}" for d in card.training_data]),
        ("Prevalence", [card.prevalence]),
        ("Licence", [card.licence]),
    ):
        out.print(f"[bold]{title}[/]")
        for line in lines:
            out.print(f"- {escape(line)}", highlight=False)
    points = card.operating_points
    out.print(
        f"[bold]Operating points[/] screen {points.screen} (a frame is positive at or above it), "
        f"alarm {points.alarm}",
        highlight=False,
    )


def _sets(card: EngineCard) -> list[str]:
    return [source.name.split(",")[0] for source in card.training_data]
