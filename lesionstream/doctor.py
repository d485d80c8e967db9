"""`doctor`: look at everything a stack needs, and say what to do about what is wrong."""

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis
from redis.exceptions import RedisError

from engines import EngineError, cuda
from identity.pseudonyms import KeyFileError, load_or_make_key
from identity.vault import VaultError
from lesionstream import audit, catalogue, endpoints, vault
from lesionstream.console import out
from lesionstream.settings import SettingsError, settings
from lesionstream.surface import Place, places
from producers.spool import left_alone
from wire import topic_admin
from wire.cache_server import REMEDY, is_refusal, why
from wire.errors import remedy_of
from wire.groups import GroupWatch, wanted
from wire.topics import INPUT

MIN_FREE_BYTES = 5 << 30
"""Of disk under the state folder; an hour of one scanner at 5 frames a second is 9 GB."""


ANSWER_S = 2.0

EXPECTED = (SettingsError, EngineError, KeyFileError, VaultError, topic_admin.BrokerUnavailable)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. remedy : what to do; "" where nothing is wrong."""

    what: str
    found: str
    remedy: str = ""


def doctor() -> int:
    """Print each check as it is made; return 1 if one needs something done."""
    wrong = False
    for look in (
        _python,
        _home,
        _key,
        _vault,
        _spools,
        _engine,
        _gpu,
        _surfaces,
        _redis,
        _kafka,
        _topics,
        _lag,
    ):
        checks = _looked(look)
        for check in checks:
            _show(check)
        wrong = wrong or any(check.remedy for check in checks)
        if look is _kafka and any(check.remedy for check in checks):
            break  # without a broker there is nothing to say of topics and workers
    return 1 if wrong else 0


def _show(check: Check) -> None:
    mark = "[red]✗[/]" if check.remedy else "[green]✓[/]"
    out.print(f"{mark} {check.what}: ", end="")
    out.print(check.found, markup=False, highlight=False)
    if check.remedy:
        out.print(f"    do: {check.remedy}", markup=False, highlight=False)


def _looked(look: Callable[[], list[Check]]) -> list[Check]:
    """Run one look; an error that is expected there is a finding too."""
    try:
        return look()
    except EXPECTED as error:
        name = look.__name__.strip("_")
        return [Check(name, str(error), remedy_of(error))]


def _python() -> list[Check]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [Check("python", version)]


def _home() -> list[Check]:
    home = settings().home
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(home).free
    remedy = "" if free > MIN_FREE_BYTES else "make room, or set LESIONSTREAM_HOME elsewhere"
    return [Check("state folder", f"{home}, {free >> 30} GiB free", remedy)]


def _key() -> list[Check]:
    path = settings().pseudonym_key_file
    load_or_make_key(path)
    private = path.stat().st_mode & 0o077 == 0
    remedy = "" if private else f"chmod 600 {path}"
    return [Check("pseudonym key", str(path), remedy)]


def _spools() -> list[Check]:
    """Tell of images that a listener took for a broker that was away, and never sent."""
    sends = "start `lesionstream listen`: it sends what is in it first"
    damaged = "send the images of that time again; then move it away"
    return [
        Check("spool", str(path), damaged if ".broken-" in path.name else sends)
        for path in left_alone(settings().spool)
    ]


def _vault() -> list[Check]:
    """Tell whether names can be read, and how old the last backup is that was noted."""
    key = vault.vault_key()
    if not key.vault.exists():
        return [Check("vault", "none yet; it comes with the first image of a device")]
    with key.open() as names:
        counted = names.count()
    backups = list(audit.lines(vault.BACKUP))
    last = f"last backup {str(backups[-1]['time'])[:10]}" if backups else "no backup is known of"
    remedy = ""
    if key.next.exists():
        remedy = "a rotation was interrupted: `lesionstream vault rotate-key` finishes it"
    elif counted.damaged:
        remedy = "they heal as images come again; else restore a backup (docs/operations.md)"
    elif key.path.stat().st_mode & 0o077:
        remedy = f"chmod 600 {key.path}"
    return [Check("vault", f"{counted.names} names, {counted.damaged} damaged; {last}", remedy)]


def _engine() -> list[Check]:
    engine = catalogue.load()
    found = f"{engine.card.name} {engine.card.version} on {engine.backend}, {engine.precision}"
    engine.close()
    return [Check("engine", found)]


def _gpu() -> list[Check]:
    """Tell what the driver says of GPUs; to have none is no fault."""
    try:
        found = [f"{one.name}, {one.memory_bytes / 2**30:.0f} GiB" for one in cuda.devices()]
    except cuda.NoCuda as none:
        return [Check("gpu", f"{none}: engines compute on the CPU")]
    lacking = cuda.lacking()
    return [Check("gpu", "; ".join([*found, *([f"unused: {lacking}"] if lacking else [])]))]


def _kafka() -> list[Check]:
    address = endpoints.kafka()
    topic_admin.describe(address, settings().names)
    return [Check("kafka", f"answers at {address}")]


def _topics() -> list[Check]:
    states = topic_admin.describe(endpoints.kafka(), settings().names)
    return [
        Check(
            f"topic {state.name}",
            f"{state.partitions} partitions, {state.replicas} replicas",
            "; ".join(state.problems),
        )
        for state in states
    ]


def _lag() -> list[Check]:
    """Tell how far each group of workers is behind, and whether anybody works."""
    names, address = settings().names, endpoints.kafka()
    checks = []
    for worker, topic in INPUT.items():
        group = names.group(worker)
        with GroupWatch(address, group, names.of(topic)) as watch:
            state = watch.look_for_age()
        words = worker.replace("-stat", " --stat")
        missed = wanted(worker, state)
        remedy = "" if state.members or not missed else f"start one: lesionstream worker {words}"
        found = f"{state.members} running, {state.behind} messages behind"
        if state.oldest is not None:
            found += f", the first for {(datetime.now(UTC) - state.oldest).total_seconds():.0f} s"
        if not state.members and not missed:
            found = "none runs, and none is missed"
        checks.append(Check(f"worker {words}", found, remedy))
    return checks


def _surfaces() -> list[Check]:
    """Ask every process that said its address in the state folder."""
    return [_asked(place) for place in places() if place.running]


def _asked(place: Place) -> Check:
    url = f"http://{place.address}/ready"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            said = json.load(answer)
        why = "; ".join([*said["dead"], *said["not_ready"]])
    except urllib.error.HTTPError as error:
        said = json.load(error)
        why = "; ".join([*said["dead"], *said["not_ready"]])
    except (OSError, ValueError, LookupError) as error:
        why = f"no answer ({type(error).__name__})"
        return Check(place.name, f"{url}: {why}", f"it hangs: see its log; kill {place.pid}")
    remedy = "" if said["ready"] else "see its log, and docs/operations.md"
    return Check(place.name, f"{url}: {why or 'ready'}", remedy)


def _redis() -> list[Check]:
    server = endpoints.redis()
    try:
        with Redis.from_url(**server.client(), socket_timeout=2, socket_connect_timeout=2) as redis:
            redis.ping()
    except RedisError as error:
        remedy = "alarms go on without it; see that Redis runs (`lesionstream up`)"
        if is_refusal(error):
            remedy = REMEDY
        return [Check("redis", why(server, error), remedy)]
    return [Check("redis", f"answers at {server}")]
