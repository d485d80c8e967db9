"""Fifteen cells: each lets one kind of thing go wrong; nothing may be lost, or come twice."""

from collections.abc import Callable

from support.bench import Bench
from support.cells import incoming, servers, workers

CELLS: dict[str, Callable[[Bench], None]] = {
    "scoring": workers.scoring,
    "patients": workers.patients,
    "listener": workers.listener,
    "watchdog": workers.watchdog,
    "rebalance-storm": workers.rebalance_storm,
    "more-workers-than-partitions": workers.more_workers_than_partitions,
    "redis": servers.redis,
    "broker-away": servers.broker_away,
    "one-broker-of-three": servers.one_broker_of_three,
    "network": servers.network,
    "broker-disk-full": servers.broker_disk_full,
    "spool-disk-full": servers.spool_disk_full,
    "poison": incoming.poison,
    "engine": incoming.engine,
    "overload": incoming.overload,
}
