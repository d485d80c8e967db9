"""`up` and `down`."""

import shlex

import local
from lesionstream.console import say
from lesionstream.settings import settings
from wire import topic_admin


def up() -> None:
    """Start what is not set to run elsewhere, create the topics, print both addresses.

    An address that this command printed earlier is not elsewhere: the shell still has it.
    """
    wanted = settings()
    before = local.remembered(wanted.home)
    found = local.up(
        wanted.home,
        kafka=wanted.kafka in (None, before.kafka),
        redis=wanted.redis in (None, before.redis),
        say=say,
    )
    kafka, redis = found.kafka or wanted.kafka, found.redis or wanted.redis
    created = topic_admin.create(str(kafka), wanted.names)
    if created:
        say(f"topics created: {', '.join(created)}")
    print(f"export LESIONSTREAM_KAFKA={shlex.quote(str(kafka))}")
    print(f"export LESIONSTREAM_REDIS={shlex.quote(str(redis))}", flush=True)


def down() -> None:
    """Stop what `up` started."""
    stopped = local.down(settings().home, say=say)
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
