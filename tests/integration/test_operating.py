"""What operators do: scale, watch, ask. Real workers, a real Prometheus."""

import json
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from support.phantoms import write_series
from support.publishing import feed
from support.stack import Stack, eventually

from wire.cluster import Cluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
QUICK = "textbook-256"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def status(place, path):
    try:
        get(f"http://{place}/{path}")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


@pytest.fixture
def filled(stack, tmp_path, monkeypatch):
    """Return a stack with 60 frames in `frames` and nobody at work."""
    monkeypatch.setenv("LESIONSTREAM_ENGINE", QUICK)
    for number in range(10):
        write_series(tmp_path / "scans", f"P{number}", slices=6, seed=number)
    feed(stack, tmp_path / "scans")
    return stack


def test_scale_runs_several_and_starts_again_what_ends(filled):
    boss = filled.worker("scoring", program=("-m", "lesionstream"))
    filled.kill(boss)
    boss = filled.start("worker", "scoring", "--scale", 2)
    filled.wait_for_members("scoring", 2)
    filled.answered(60, within_s=90)
    assert len({str(f.id) for f in filled.findings()}) == 60
    run = filled.folder / "home" / "run"

    def pids():
        return {int(file.stem.rpartition("-")[2]) for file in run.glob("scoring@*.json")}

    before = pids()
    assert len(before) == 2
    victim = min(before)
    subprocess.run(["kill", "-9", str(victim)], check=True)
    eventually(lambda: len(pids() - before) == 1, within_s=60, what="another worker in its place")
    assert victim not in pids(), "the file of a killed worker is cleaned up"
    running = pids()
    assert len(running) == 2
    boss.send_signal(signal.SIGTERM)
    assert boss.wait(30) == 0
    for pid in running:
        assert not Path(f"/proc/{pid}").exists()


def test_a_worker_added_while_frames_flow_loses_and_repeats_nothing(filled, tmp_path):
    filled.worker("scoring")
    filled.wait_for_members("scoring", 1)
    for number in range(30):  # on all partitions: most have nothing in hand when they move
        write_series(tmp_path / "more", f"Q{number}", slices=5, seed=100 + number)
    sender = filled.start("replay", tmp_path / "more", "--fps", 15, "--shuffle")
    filled.answered(75, within_s=90)
    filled.worker("scoring")
    filled.wait_for_members("scoring", 2)
    assert sender.wait(60) == 0
    findings = filled.answered(210, within_s=90)
    assert len({str(f.frame_id) for f in findings}) == 210
    assert len({str(f.id) for f in findings}) == 210
    assert len(findings) == 210, "what was answered is not scored again where partitions move"


def test_doctor_asks_what_runs(filled):
    filled.worker("scoring")
    filled.worker("patients")
    filled.answered(60, within_s=90)
    run = filled.folder / "home" / "run"
    surfaces = [json.loads(f.read_text())[0]["targets"][0] for f in run.glob("*.json")]
    assert len(surfaces) == 2

    def all_ready():
        return all(json.loads(get(f"http://{s}/live"))["ready"] for s in surfaces)

    eventually(all_ready, within_s=30, what="both ready")
    done = filled.command("doctor")
    assert done.stdout.count("/ready: ready") == 2
    stopped = filled.processes[0]
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        done = filled.command("doctor")
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert done.returncode == 1
    assert "it hangs" in done.stdout


def test_a_worker_without_a_broker_is_not_ready_and_not_dead(tmp_path, monkeypatch):
    """A broker of its own, for this test stops it."""
    import local
    from wire import topic_admin
    from wire.topics import Names

    monkeypatch.setenv("LESIONSTREAM_ENGINE", QUICK)
    home = tmp_path / "servers"
    found = local.up(home)
    names = Names("blind-")
    stack = Stack(found.kafka, found.redis, names, tmp_path)
    try:
        topic_admin.create(Cluster.plain(found.kafka), names)
        stack.worker("scoring")
        run = tmp_path / "home" / "run"
        (file,) = eventually(lambda: list(run.glob("*.json")), within_s=60, what="a surface")
        place = json.loads(file.read_text())[0]["targets"][0]
        eventually(lambda: status(place, "ready") == 200, within_s=60, what="ready")
        local.down(home)
        eventually(lambda: status(place, "ready") == 503, within_s=30, what="not ready")
        assert status(place, "live") == 200
        assert "lesionstream_ready 0.0" in get(f"http://{place}/metrics")
        local.up(home)
        eventually(lambda: status(place, "ready") == 200, within_s=60, what="ready again")
    finally:
        stack.end()
        local.down(home)


def test_the_dashboard_and_the_rules_ask_for_what_there_is(filled, tmp_path):
    if shutil.which("prometheus") is None:
        pytest.fail("Prometheus is missing: make setup-tests")
    filled.worker("scoring")
    filled.worker("patients")
    filled.start("listen", "--port", "0", "--host", "127.0.0.1", "--allow", "SIMSCANNER")
    run = filled.folder / "home" / "run"
    eventually(lambda: len(list(run.glob("*.json"))) == 3, within_s=60, what="three surfaces")
    (listener,) = run.glob("listener@*.json")
    place = json.loads(listener.read_text())[0]["targets"][0]
    port = json.loads(get(f"http://{place}/live"))["facts"]["port"]
    config = tmp_path / "prometheus.yml"
    local = (ROOT / "deploy/prometheus/local.yml").read_text()
    rules = ROOT / "deploy/prometheus/rules.yml"
    config.write_text(
        local.replace("../../.lesionstream/run", str(run))
        .replace("rules.yml", str(rules))
        .replace("5s", "1s")
    )
    web = free_port()
    prometheus = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{web}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        filled.command(
            "simulate", "--to", f"127.0.0.1:{port}", "--patients", 1, "--studies", 1,
            "--slices", 3,
        )  # fmt: skip
        filled.publish(b"nothing that can be scored")
        filled.answered(64, within_s=90)

        def ask(query):
            words = urllib.parse.urlencode({"query": query})
            found = json.loads(get(f"http://127.0.0.1:{web}/api/v1/query?{words}"))
            assert found["status"] == "success", query
            return found["data"]["result"]

        board = json.loads((ROOT / "deploy/grafana/dashboards/lesionstream.json").read_text())
        queries = [t["expr"] for p in board["panels"] for t in p.get("targets", [])]
        assert len(queries) > 15
        for query in queries:
            eventually(lambda q=query: ask(q), within_s=60, what=f"something found by {query}")
        (blind,) = [
            rule
            for group in json.loads(get(f"http://127.0.0.1:{web}/api/v1/rules"))["data"]["groups"]
            for rule in group["rules"]
            if rule["name"] == "LesionstreamBlind"
        ]
        eventually(lambda: ask(blind["query"]) == [], within_s=30, what="not blind")
        for process in filled.processes[:1]:
            filled.kill(process)
        eventually(lambda: ask(blind["query"]) != [], within_s=90, what="blind is seen")
    finally:
        prometheus.terminate()
        prometheus.wait()


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
