"""The figures: docs/performance.json, tables between marks of docs/performance.md, a plot."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import capacity, engine_settings, latency, profile
from benchmarks.speed.contest import ENGINE, KERAS, OURS, PEERS
from lesionstream.console import say

FIGURES = Path("docs/performance.json")
PAGE = Path("docs/performance.md")
CAPACITY = Path("docs/capacity.md")
PICTURE = Path("docs/performance.png")
PROFILE = Path("docs/performance-profile.png")
TOLERATED = 1.25

Row = Mapping[str, Any]
Figures = Mapping[str, Any]


def machine() -> dict[str, str]:
    """Return on what it was measured."""
    cpu = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }


def write(figures: Figures) -> None:
    """Write all of them."""
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    _fill(PAGE, tables(figures))
    _fill(CAPACITY, {"machine": _machine(figures), **capacity.tables(figures)})
    draw(figures)
    profile.draw(figures["profile"], figures["overhead"]["kafka"], PROFILE)


def _fill(page: Path, tables: Mapping[str, str]) -> None:
    """Put tables between their marks of a page."""
    text = page.read_text()
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        if not after:
            raise ValueError(f"{page}: no marks {begin.strip()} ... {end}")
        text = f"{before}{begin}{table}\n{end}{after}"
    page.write_text(text)


def tables(figures: Figures) -> dict[str, str]:
    """Return the tables of docs/performance.md by the names of their marks."""
    return {
        "throughput": _throughput(figures["throughput"]),
        "overhead": _overhead(figures),
        "profile": profile.table(figures["profile"]),
        "settings": engine_settings.table(figures["settings"]),
        "scale": _scale(figures["scale"], figures["brokers"]),
        "latency": _latency(figures),
        "machine": _machine(figures),
    }


def _machine(figures: Figures) -> str:
    it = figures["machine"]
    what = "simulated and LIDC-IDRI, in turn" if figures["real"] else "simulated"
    return (
        f"{figures['frames']} frames of 512 x 512, {what}; {figures['repeats']} repeats; "
        f"{it['cpu']}, {it['cores']} cores, the broker on the same; Python {it['python']}."
    )


def ratio(rows: Sequence[Row], a: str, b: str, setup: Row) -> float:
    """Return the median ratio of the rates of two contenders, repeat by repeat."""
    first, second = (_row(rows, name, setup)["rates"] for name in (a, b))
    return float(statistics.median(x / y for x, y in zip(first, second, strict=True)))


def _row(rows: Sequence[Row], name: str, setup: Row) -> Row:
    return next(row for row in rows if row["name"] == name and row["setup"] == setup)


def _in_words(setup: Row) -> str:
    if setup["processes"] > 1:
        return f"{setup['processes']} at once, 1 thread each"
    return f"{setup['threads']} engine thread{'s' * (setup['threads'] > 1)}"


def _throughput(rows: Sequence[Row]) -> str:
    lines = [
        "| | | frames a second | Lesionstream to it | CPU ms a frame | broker's | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {_in_words(row['setup'])} | {row['name']} | {_spread(row['rates'], 1)} "
        f"| {ratio(rows, OURS, row['name'], row['setup']):.2f} "
        f"| {_spread([1000 * s for s in row['cpu_s']], 1)} "
        f"| {1000 * statistics.median(row['broker_s']):.1f} "
        f"| {max(row['peak_bytes']) / 2**20:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _overhead(figures: Figures) -> str:
    cost = figures["overhead"]
    lines = [
        "| | CPU ms a frame | to aiokafka |",
        "|---|---|---|",
        f"| aiokafka: the same bytes in, an answer out | {1000 * cost['kafka']:.2f} | 1 |",
    ]
    lines += [
        f"| {name} | {1000 * cost[key]:.2f} | {cost[key] / cost['kafka']:.1f} |"
        for name, key in (
            ("Lesionstream beyond the engine alone", "ours"),
            ("the same with an engine that answers at once", "nothing"),
        )
    ]
    rows, one = figures["throughput"], {"threads": 1, "processes": 1}
    alone = _row(rows, ENGINE, one)["cpu_s"]
    for name in PEERS:
        cpu_s = _row(rows, name, one)["cpu_s"]
        beyond = statistics.median(a - b for a, b in zip(cpu_s, alone, strict=True))
        lines.append(
            f"| {name} beyond the engine alone | {1000 * beyond:.2f} "
            f"| {beyond / cost['kafka']:.1f} |"
        )
    lines += ["", "| 256 x 256, nothing decoded, no engine | frames a second |", "|---|---|"]
    lines += [f"| {row['name']} | {_spread(row['rates'], 0)} |" for row in figures["small"]]
    lines += [
        "",
        "| 512 x 512, decoded and prepared, no engine | frames a second | peak MiB |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {_spread(row['rates'], 0)} | {max(row['peak_bytes']) / 2**20:.0f} |"
        for row in figures["decoders"]
    ]
    return "\n".join(lines)


def _scale(rows: Sequence[Row], brokers: Sequence[Row]) -> str:
    lines = [
        "| brokers | scoring processes | frames a second | to the first | brokers' CPU ms |",
        "|---|---|---|---|---|",
    ]
    for count, row in [*((1, row) for row in rows), *((3, row) for row in brokers)]:
        over = statistics.median(a / b for a, b in zip(row["rates"], rows[0]["rates"], strict=True))
        lines.append(
            f"| {count} | {row['setup']['processes']} | {_spread(row['rates'], 1)} | {over:.2f} "
            f"| {1000 * statistics.median(row['broker_s']):.1f} |"
        )
    return "\n".join(lines)


def _latency(figures: Figures) -> str:
    own_ms = 1000 / statistics.median(figures["throughput"][0]["rates"])
    rates = ", ".join(f"{name} {rate:.1f}" for name, rate in figures["capacity"].items())
    lines = [
        f"The engine alone takes {own_ms:.0f} ms for a frame. Capacity, frames a second: {rates}.",
        "",
        "| of whose capacity | | frames a second | n | p50 ms | p95 | p99 | p99.9 | missing |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(figures["latency"], key=_whose):
        *found, last = (f"{value:.0f}" for value in one["quantiles"])
        quantiles = " | ".join([*found, last if one["frames"] >= latency.ENOUGH else "-"])
        lines.append(
            f"| {one['load']:.0%} of {one['whose']} | {one['name']}, {one['what']} "
            f"| {one['fps']:.1f} | {one['frames']} | {quantiles} | {one['missing']} |"
        )
    return "\n".join(lines)


def _whose(one: Row) -> tuple[int, bool]:
    """Return where delays stand in the table: ours first, findings before alerts."""
    return [OURS, *PEERS].index(one["whose"]), one["what"] == "alert"


def draw(figures: Figures) -> None:
    """Draw rates, and delays over frames a second."""
    from matplotlib.figure import Figure  # in the environment of the peers, and of developers

    plot = Figure(figsize=(10, 4), layout="constrained")
    rates, delays = plot.subplots(1, 2)
    rows = figures["throughput"]
    names = [ENGINE, OURS, *PEERS, KERAS]
    setups = [row["setup"] for row in rows if row["name"] == OURS]
    for number, setup in enumerate(setups):
        some = [row for row in rows if row["setup"] == setup]
        at = [names.index(row["name"]) + 0.27 * (number - 1) for row in some]
        middle = [statistics.median(row["rates"]) for row in some]
        spread = [
            [m - min(row["rates"]) for m, row in zip(middle, some, strict=True)],
            [max(row["rates"]) - m for m, row in zip(middle, some, strict=True)],
        ]
        rates.barh(at, middle, 0.26, xerr=spread, label=_in_words(setup))
    most = max(max(row["rates"]) for row in rows)
    rates.set(yticks=range(len(names)), yticklabels=names, xlabel="frames a second")
    rates.set_xlim(0, 1.6 * most)  # room for the legend
    rates.invert_yaxis()
    rates.legend(fontsize=8, loc="lower right")
    for name in (OURS, *PEERS):
        some = [one for one in figures["latency"] if one["name"] == name]
        found = sorted((one["fps"], *one["quantiles"]) for one in some if one["what"] == "finding")
        fps = [one[0] for one in found]
        (line,) = delays.plot(fps, [one[3] for one in found], marker="o", label=name)
        delays.plot(fps, [one[1] for one in found], ":", marker=".", color=line.get_color())
    delays.set(
        xlabel="frames a second", ylabel="ms (line p99, dots p50)", yscale="log", ylim=(10, None)
    )
    delays.legend(fontsize=8)
    delays.grid(alpha=0.3)
    plot.savefig(PICTURE, dpi=110)


def check(figures: Figures) -> int:
    """Compare ratios with those of the last release; return 1 where one is 1.25 times worse."""
    before: Figures = json.loads(FIGURES.read_text())
    worse = 0
    for name, now, then in zip(RATIOS, ratios(figures), ratios(before), strict=True):
        late = then / now > TOLERATED
        worse += late
        words = f"{name}: {now:.2f}, was {then:.2f}"
        say(f"WORSE {words}" if late else words, style="red" if late else "")
    return 1 if worse else 0


RATIOS = ("to the engine alone", *(f"to {name}" for name in PEERS), "aiokafka to overhead")


def ratios(figures: Figures) -> list[float]:
    """Return what is compared; more is better."""
    rows, cost = figures["throughput"], figures["overhead"]
    one = {"threads": 1, "processes": 1}
    others = [ratio(rows, OURS, name, one) for name in (ENGINE, *PEERS)]
    return [*others, cost["kafka"] / max(cost["nothing"], 1e-6)]
