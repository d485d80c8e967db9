"""`topics create`, `topics describe` and `topics acl`."""

from rich.table import Table

from lesionstream import endpoints
from lesionstream.console import out, say
from lesionstream.settings import settings
from wire import topic_admin
from wire.rights import ROLES, commands, redis_users


def create() -> None:
    """Create what is missing."""
    created = topic_admin.create(endpoints.kafka(), settings().names)
    say(f"created: {', '.join(created)}" if created else "all topics are there")


def describe() -> int:
    """Show the topics; return 1 if one is not as it should be."""
    table = Table("topic", "partitions", "replicas", "topic id", "problems")
    states = topic_admin.describe(endpoints.kafka(), settings().names)
    for state in states:
        table.add_row(
            state.name,
            str(state.partitions),
            str(state.replicas),
            state.topic_id,
            "; ".join(state.problems) or "none",
            style="red" if state.problems else "",
        )
    out.print(table)
    return 1 if any(state.problems for state in states) else 0


def acl(user: str | None, *, redis: bool) -> int:
    """Print the commands that give each user what its process needs; return 2 for no such user."""
    roles = [role for role in ROLES if user in (None, role.name, role.user)]
    if not roles:
        say(f"there is no {user}; there are {', '.join(role.name for role in ROLES)}")
        return 2
    servers = settings().kafka or "HOST:PORT"
    names = settings().names
    for line in redis_users(roles, names) if redis else commands(roles, names, servers):
        print(line)
    return 0
