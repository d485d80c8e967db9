"""What can go wrong, and what to do about it."""


class LocalError(Exception):
    """The local Kafka or Redis cannot be fetched, started or waited for.

    The message says what is missing and what to do; where a server died, it carries the last
    lines of its log and the log's path.

    Operator action: do what the message says, then run the same command again; nothing is lost,
    data stay in the state folder.
    """
