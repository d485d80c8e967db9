"""What operators deploy, as far as it can be checked without a container engine."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lesionstream import children
from lesionstream.settings import Settings
from local.broker import SETTINGS
from stream.faust_app import SHUTDOWN_S

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = (
    "topics",
    "scoring",
    "scoring-stat",
    "patients",
    "models",
    "watchdog",
    "monitor",
    "listener",
    "scanner",
)
OTHERS = ("kafka", "redis", "prometheus", "grafana")


def test_all_our_containers_are_looked_at():
    assert set(OURS) | set(OTHERS) == set(COMPOSE["services"])


@pytest.mark.parametrize("name", [*OURS, *OTHERS])
def test_containers_are_locked_down(name):
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert 0 < service["pids_limit"] <= 512
    assert re.fullmatch(r"[1-4]g", service["mem_limit"])
    for word in ("privileged", "cap_add", "devices", "network_mode", "pid", "ipc"):
        assert word not in service
    assert "docker.sock" not in str(service)
    if name != "kafka":  # its image writes its own settings
        assert service["read_only"] is True
    if name in OTHERS:
        assert service["user"] not in ("", "root", "0")


def test_our_images_run_as_nobody_special():
    for name in OURS:
        target = COMPOSE["services"][name]["build"]["target"]
        assert re.search(rf"^FROM \S+ AS {target}$", dockerfile(), re.MULTILINE)
        assert "user" not in COMPOSE["services"][name]
    stages = re.split(r"^FROM ", dockerfile(), flags=re.MULTILINE)[1:]
    for stage in stages:
        if "ENTRYPOINT" in stage:
            assert "USER lesionstream" in stage
            assert stage.index("USER lesionstream") < stage.index("ENTRYPOINT")
        assert not re.search(r"^USER (root|0)", stage, re.MULTILINE)


def test_only_who_needs_names_has_them():
    """The key of the pseudonyms and the vault are on one volume: of the listener and the page."""
    for name in OURS:
        private = any("private:" in volume for volume in COMPOSE["services"][name]["volumes"])
        assert private is (name in ("listener", "monitor"))


def test_a_container_has_the_time_to_end_that_its_process_takes():
    for name in OURS:
        grace_s = float(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s"))
        assert grace_s > children.END_S > SHUTDOWN_S, name


def dockerfile():
    return (ROOT / "deploy/Dockerfile").read_text()


def test_images_hold_no_tools_of_ours():
    runtime = (ROOT / "requirements.lock").read_text()
    tools = (ROOT / "requirements-dev.lock").read_text()
    assert "requirements.lock" in dockerfile()
    assert not re.search(r"^(pytest|mypy|ruff)==", runtime, re.MULTILINE)
    pins = {line for line in runtime.splitlines() if "==" in line}
    assert pins <= set(tools.splitlines()), "both locks hold the same versions"


def test_settings_and_commands_of_the_composition_exist():
    for name in OURS:
        for variable in COMPOSE["services"][name]["environment"]:
            field = variable.removeprefix("LESIONSTREAM_").lower()
            assert field in Settings.model_fields, variable


def test_the_broker_is_told_what_the_local_one_is():
    told = COMPOSE["services"]["kafka"]["environment"]
    local = dict(line.split("=", 1) for line in SETTINGS.splitlines() if "=" in line)
    own = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs", "node.id"}
    own |= {"listener.security.protocol.map", "controller.listener.names"}
    for name in local.keys() - own:
        variable = f"KAFKA_{name.upper().replace('.', '_')}"
        assert told[variable] == local[name], name


@pytest.mark.parametrize("name", ["prometheus.yml", "local.yml"])
def test_prometheus_takes_its_configuration(name):
    subprocess.run(
        ["promtool", "check", "config", str(ROOT / "deploy/prometheus" / name)],
        check=True,
        capture_output=True,
    )


def test_the_composition_mounts_what_grafana_provisions():
    volumes = [v.split(":") for v in COMPOSE["services"]["grafana"]["volumes"]]
    mounted = {parts[1]: ROOT / parts[0] for parts in volumes if parts[0].startswith("./")}
    provider = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/lesionstream.yml").read_text()
    )["providers"][0]
    folder = mounted[provider["options"]["path"]]
    boards = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    assert [board["uid"] for board in boards] == ["lesionstream"]
    source = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"][0]["uid"]
    panels = [p for p in boards[0]["panels"] if p["type"] != "row"]
    assert {p["datasource"]["uid"] for p in panels} == {source}
    assert len({p["id"] for p in boards[0]["panels"]}) == len(boards[0]["panels"])
