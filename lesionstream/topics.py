"""`topics create` and `topics describe`."""

from rich.table import Table

from lesionstream import endpoints
from lesionstream.console import out, say
from lesionstream.settings import settings
from wire import topic_admin


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
