"""Cells in which our own processes are killed, stopped, come and go."""

import time

from support.bench import Bench
from support.cell import Cell
from support.stack import eventually

STOPPED_S = 22.0
"""A process that does not answer is said to the ward after 15 of 20 s."""

TAKEN_OVER_S = 9.0
"""The session timeout is 6 s: after this, others have what a stopped worker had."""


def scoring(bench: Bench) -> None:
    """`kill -9` and SIGSTOP of a scoring worker; the stopped one comes back as a zombie."""
    cell = bench.cell()
    cell.open("scoring", "patients", "watchdog")
    cell.replay(60)
    cell.at_work("scoring")
    killed = cell.kill("scoring")
    cell.begin("scoring")
    cell.recovered("scoring", killed)
    cell.begin("scoring")
    cell.stack.wait_for_members("scoring", 2)
    cell.at_work("scoring")
    stopped, zombie = cell.stop("scoring")
    cell.recovered("scoring", stopped)
    _told_of(cell, "worker-not-ready", stopped)
    cell.go_on(zombie)
    cell.check()
    eventually(
        lambda: "end" in cell.technical("worker-not-ready"), within_s=60, what="the alarm ends"
    )


def patients(bench: Bench) -> None:
    """`kill -9` and SIGSTOP of a patients worker; the stopped one comes back as a zombie."""
    cell = bench.cell()
    cell.open("scoring", "patients")
    cell.replay(40)
    cell.at_work("patients")
    killed = cell.kill("patients")
    cell.begin("patients")
    cell.recovered("patients", killed)
    cell.begin("patients")
    cell.stack.wait_for_members("patients", 2)
    cell.at_work("patients")
    stopped, zombie = cell.stop("patients")
    cell.recovered("patients", stopped)
    time.sleep(cell.random.uniform(0, TAKEN_OVER_S))  # the moment is the test's input
    cell.go_on(zombie)
    cell.check()


def listener(bench: Bench) -> None:
    """`kill -9` and SIGSTOP of the listener while devices send."""
    cell = bench.cell()
    cell.listen()
    cell.open("scoring", "patients")
    cell.send(30, patience_s=5.0)
    cell.at_work("listen")
    killed = cell.kill("listen")
    cell.listen()
    cell.recovered("listen", killed)
    cell.at_work("listen")
    _, stopped = cell.stop("listen")
    time.sleep(cell.random.uniform(6, 9))  # longer than a device waits
    cell.recovered("listen", cell.go_on(stopped))
    cell.check()


def watchdog(bench: Bench) -> None:
    """`kill -9` and SIGSTOP of the watchdog; meanwhile nobody works, and that must be said."""
    cell = bench.cell()
    cell.open("patients", "watchdog")
    cell.replay(30)
    _told_of(cell, "scoring-nobody", time.time())
    killed = cell.kill("watchdog")
    cell.begin("watchdog")
    cell.recovered("watchdog", killed)
    _, stopped = cell.stop("watchdog")
    cell.begin("scoring")
    cell.stack.wait_for_members("scoring", 1)
    time.sleep(cell.random.uniform(5, 10))
    cell.recovered("watchdog", cell.go_on(stopped))
    cell.check()
    eventually(
        lambda: cell.technical("scoring-nobody") == ["start", "end"],
        within_s=60,
        what="one alarm, said once, over once",
    )


def rebalance_storm(bench: Bench) -> None:
    """Workers of both kinds come, leave and are killed, every few seconds."""
    cell = bench.cell()
    cell.open("scoring", "scoring", "patients", "patients")
    cell.replay(45)
    for round_ in range(6):
        role = ("scoring", "patients")[round_ % 2]
        cell.begin(role)
        time.sleep(cell.random.uniform(1, 4))  # in the middle of its start, or after it
        if cell.random.random() < 0.5:
            gone = cell.kill(role)
        else:
            gone = cell.end(role)
        time.sleep(cell.random.uniform(0, 2))
    cell.recovered(role, gone)
    cell.check()


def more_workers_than_partitions(bench: Bench) -> None:
    """Two partitions, four scoring workers: those at work are killed, the spare ones take over."""
    cell = bench.cell(partitions=2)
    cell.open("scoring", "scoring", "scoring", "scoring", "patients")
    cell.replay(30)
    cell.at_work("scoring")
    spare = eventually(
        lambda: idle if len(idle := cell.idle("scoring")) == 2 else None,
        within_s=20,
        what="two workers have a partition each",
    )
    cell.running["scoring"].sort(key=spare.__contains__)
    for _ in range(2):
        killed = cell.kill("scoring")
    cell.recovered("scoring", killed)
    cell.check()


def _told_of(cell: Cell, cause: str, since: float) -> None:
    """Wait until a bedside has heard of it."""
    heard = eventually(lambda: cell.technical(cause), within_s=60, what=f"{cause} is heard")
    assert heard[0] == "start"
    assert time.time() - since < STOPPED_S + 20
