"""What each process may do on Kafka: the table of docs/operations.md, as data.

A process that lacks one of these says so before it starts to work; one that has more than these
could do more harm, once it has been taken over, than it must.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from wire.topics import (
    ACTIONS,
    ALERTS,
    DEAD_LETTERS,
    FRAMES,
    INPUT,
    PATIENTS,
    REPLAYED,
    RESULTS,
    STAT,
    TOPICS,
    Names,
    Topic,
)

GROUPS = tuple(INPUT)
"""Workers whose consumer groups are told of by everybody: who works, and how far behind."""


@dataclass(frozen=True, slots=True)
class Role:
    """What one kind of process does.

    Parameters
    ----------
    name : the user is called ``lesionstream-NAME``.
    commands : that run as this user.
    group : of consumers that it is a member of.
    sets_up : makes topics, and looks at their settings.
    caches : what it may do with the patients in Redis, as Redis writes it; None: not needed.
    """

    name: str
    commands: str
    reads: tuple[Topic, ...] = ()
    writes: tuple[Topic, ...] = ()
    group: str | None = None
    sets_up: bool = False
    caches: str | None = None

    @property
    def user(self) -> str:
        """Return the name of its user."""
        return f"lesionstream-{self.name}"


SCORING = Role("scoring", "worker scoring", (FRAMES,), (RESULTS, DEAD_LETTERS), "scoring")
URGENT = Role(
    "scoring-stat", "worker scoring --stat", (STAT,), (RESULTS, DEAD_LETTERS), "scoring-stat"
)
DECIDING = Role(
    "patients",
    "worker patients",
    (RESULTS, ACTIONS, PATIENTS),
    (RESULTS, ALERTS, PATIENTS, DEAD_LETTERS),
    "patients",
    caches="+evalsha +script|load +script|exists +type +hmget +hset +del",
)
MODELS = Role("models", "worker models", (FRAMES, STAT, RESULTS), (RESULTS, DEAD_LETTERS), "models")
PRODUCER = Role("producer", "listen, watch, replay", (), (FRAMES, STAT, DEAD_LETTERS))
_SHOWN = (FRAMES, STAT, RESULTS, ACTIONS, ALERTS, DEAD_LETTERS, PATIENTS)
MONITOR = Role("monitor", "monitor", _SHOWN, (ACTIONS,), caches="")
WATCHDOG = Role("watchdog", "watchdog", (ACTIONS, ALERTS), (ALERTS,), caches="")
OPERATOR = Role(
    "operator",
    "topics, doctor, tail, patient, dead-letters, policy test, engines compare",
    TOPICS,
    (FRAMES, STAT, REPLAYED),
    sets_up=True,
    caches="+hget",
)

ROLES = (SCORING, URGENT, DECIDING, MODELS, PRODUCER, MONITOR, WATCHDOG, OPERATOR)

Kind = Literal["topic", "group", "cluster"]


@dataclass(frozen=True, slots=True)
class Right:
    """One operation on one thing, in Kafka's words."""

    operation: str
    kind: Kind
    name: str

    @property
    def code(self) -> str:
        """Return the operation as Kafka's protocol names it."""
        return {"DescribeConfigs": "DESCRIBE_CONFIGS"}.get(self.operation, self.operation.upper())

    def __str__(self) -> str:
        return f"{self.operation} {self.kind} {self.name}"


def rights(role: Role, names: Names) -> Iterator[Right]:
    """Yield all that a role needs, and nothing more."""
    for topic in TOPICS:
        # Everybody sees that all topics are there: what lacks one waits, and says so.
        yield Right("Describe", "topic", names.of(topic))
        if topic in role.reads:
            yield Right("Read", "topic", names.of(topic))
        if topic in role.writes:
            yield Right("Write", "topic", names.of(topic))
        if role.sets_up:
            yield Right("Create", "topic", names.of(topic))
            yield Right("DescribeConfigs", "topic", names.of(topic))
    for worker in GROUPS:
        yield Right("Describe", "group", names.group(worker))
    if role.group is not None:
        yield Right("Read", "group", names.group(role.group))
    if role.sets_up:
        yield Right("Describe", "cluster", "kafka-cluster")


def commands(roles: Iterable[Role], names: Names, servers: str) -> Iterator[str]:
    """Yield the commands by which an administrator grants it all, one for a user and operation."""
    for role in roles:
        granted: dict[str, list[Right]] = {}
        for right in rights(role, names):
            granted.setdefault(right.operation, []).append(right)
        for operation, those in granted.items():
            things = " ".join(
                "--cluster" if right.kind == "cluster" else f"--{right.kind} {right.name}"
                for right in those
            )
            yield (
                f"kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties "
                f"--add --allow-principal User:{role.user} --operation {operation} {things}"
            )


def table(roles: Iterable[Role]) -> Iterator[str]:
    """Yield the rows of the table in docs/operations.md."""
    for role in roles:
        cells = [f"`{role.user}`", role.commands]
        for topics in (role.reads, role.writes):
            cells.append("all" if topics == TOPICS else ", ".join(topic.name for topic in topics))
        cells.append(f"`lesionstream-{role.group}`" if role.group else "")
        cells.append("Create, DescribeConfigs on topics" if role.sets_up else "")
        caches = "" if role.caches is None else f"`+ping +select {role.caches}".rstrip() + "`"
        cells.append(caches.replace("|", "\\|"))
        yield f"| {' | '.join(cells)} |"


def redis_users(roles: Iterable[Role], names: Names) -> Iterator[str]:
    """Yield the commands by which Redis is told of the users; each password is still to be set.

    What every connection does is among them: to choose a database, and to ask whether it answers.
    """
    for role in roles:
        if role.caches is not None:
            keys = f"~{names.prefix}lesionstream:patient:*"
            may = f"-@all +ping +select {role.caches}".rstrip()
            yield f"ACL SETUSER {role.user} on resetkeys {keys} {may}"
