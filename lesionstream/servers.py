"""`up` and `down`."""

import shlex

import local
from lesionstream import endpoints
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
    kafka = found.kafka or wanted.kafka
    created = topic_admin.create(endpoints.cluster(str(kafka)), wanted.names)
    if created:
        say(f"topics created: {', '.join(created)}")
    print(f"export LESIONSTREAM_KAFKA={shlex.quote(str(kafka))}")
    redis = found.redis or str(wanted.redis)
    if "@" not in redis:  # else it may hold a password, and whoever set it has it
        print(f"export LESIONSTREAM_REDIS={shlex.quote(redis)}", flush=True)


def down() -> None:
    """Stop what `up` started."""
    stopped = local.down(settings().home, say=say)
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
