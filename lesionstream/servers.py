"""`up` and `down`."""

import local
from lesionstream.console import say
from lesionstream.settings import settings
from wire import topic_admin


def up() -> None:
    """Start what is not set to run elsewhere, create the topics, print both addresses."""
    wanted = settings()
    found = local.up(wanted.home, kafka=wanted.kafka is None, redis=wanted.redis is None, say=say)
    kafka, redis = wanted.kafka or found.kafka, wanted.redis or found.redis
    created = topic_admin.create(str(kafka), wanted.names)
    if created:
        say(f"topics created: {', '.join(created)}")
    print(f"export LESIONSTREAM_KAFKA={kafka}")
    print(f"export LESIONSTREAM_REDIS={redis}", flush=True)


def down() -> None:
    """Stop what `up` started."""
    stopped = local.down(settings().home, say=say)
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
