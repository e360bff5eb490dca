"""docker-compose.yaml and the Dockerfile, held against what scripts/demo really runs. No Docker engine is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from demo_parts.airflow import airflow_environment, shared_settings

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

# What an image is called where .env names none.
DEFAULT = re.compile(r"\$\{[A-Z_]+:-(.+)\}")
AIRFLOW_SERVICES = {name for name, service in SERVICES.items() if "env_file" in service}

# What the demo sets and compose does not: it shares one machine with others, and has its own Python.
DEMO_ONLY = {
    "AIRFLOW_HOME",  # the image sets it
    "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS",  # the demo has no Flask-AppBuilder, whose tables these are
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME",  # somebody watches; elsewhere nobody counts the seconds
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
}
# What both set, to different values, each for its own place.
PLACES = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    "AIRFLOW__API__HOST",
    "AIRFLOW__API__PORT",
    "AIRFLOW__API__BASE_URL",
    "AIRFLOW__CORE__TEST_CONNECTION",  # for whoever tries things; elsewhere while setting up
}
# What only several machines need.
COMPOSE_ONLY = {
    "AIRFLOW__CORE__EXECUTOR",
    "AIRFLOW__CORE__AUTH_MANAGER",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CELERY__BROKER_URL",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY",
    "AIRFLOW__FAB__COOKIE_SECURE",
    "AIRFLOW__FAB__ENABLE_PROXY_FIX",
}


def settings_of(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("AIRFLOW__")}


def test_the_parts_are_those_of_the_demo_and_what_celery_needs() -> None:
    parts = {"init", "api-server", "scheduler", "dag-processor", "triggerer", "worker", "airflow-clean"}
    assert parts == AIRFLOW_SERVICES
    assert set(SERVICES) - AIRFLOW_SERVICES == {"postgres", "redis", "sandbox"}


def test_every_airflow_service_has_the_shared_settings_and_one_environment() -> None:
    common = SERVICES["scheduler"]["environment"]
    for name in AIRFLOW_SERVICES:
        assert SERVICES[name]["env_file"] == [
            {"path": "config/airflow.env"},
            {"path": "config/local.env", "required": False},
        ]
        assert common.items() <= SERVICES[name]["environment"].items()
    assert len(shared_settings()) >= 5


def test_settings_agree_with_the_demo() -> None:
    compose = settings_of({**shared_settings(), **SERVICES["scheduler"]["environment"]})
    demo = settings_of(airflow_environment(Path("demo-home"), 8080))
    assert set(demo) - set(compose) == DEMO_ONLY - {"AIRFLOW_HOME"}
    assert set(compose) - set(demo) == COMPOSE_ONLY
    differing = {name for name in set(demo) & set(compose) if demo[name] != compose[name]}
    # The port of the demo in this test is the one of the container.
    assert differing == PLACES - {"AIRFLOW__API__PORT"}


@pytest.mark.airflow
def test_connections_are_those_that_the_hooks_read() -> None:
    from contact_sync_airflow import connections

    given = {name for name in SERVICES["worker"]["environment"] if name.startswith("AIRFLOW_CONN_")}
    read = {connections.BUSINESS_CENTRAL, connections.MICROSOFT_GRAPH, connections.STAGING}
    assert given == {f"AIRFLOW_CONN_{connection_id.upper()}" for connection_id in read}


@pytest.mark.airflow
def test_schedules_default_to_those_of_the_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    from contact_sync_airflow import environment

    given = {
        name: value
        for name, value in SERVICES["worker"]["environment"].items()
        if name.startswith("CONTACT_")
    }
    for name in given:
        monkeypatch.delenv(name, raising=False)
    assert (
        given["CONTACT_SYNC_SCHEDULE"] == f"${{CONTACT_SYNC_SCHEDULE:-{environment.incremental_schedule()}}}"
    )
    assert (
        given["CONTACT_SYNC_FULL_SCHEDULE"]
        == f"${{CONTACT_SYNC_FULL_SCHEDULE:-{environment.full_schedule()}}}"
    )
    assert set(given) == {
        environment.SCHEDULE_VARIABLE,
        environment.FULL_SCHEDULE_VARIABLE,
        environment.TIMEZONE_VARIABLE,
    }


def test_every_variable_is_explained_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", TEXT))
    assert used >= {"POSTGRES_PASSWORD", "FERNET_KEY", "JWT_SECRET"}
    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, flags=re.MULTILINE))
    assert used == explained


def test_no_secret_has_a_default() -> None:
    secret = re.compile(r"\$\{([A-Z_]*(?:PASSWORD|SECRET|KEY)[A-Z_]*)(:.)")
    found = secret.findall(TEXT)
    assert len(found) > 5
    assert {operator for _, operator in found} == {":?"}


def test_mounted_and_copied_paths_exist() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    paths = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith(".")}
    copied = [
        part
        for line in re.findall(r"^COPY (?:--\S+ )*(.+)$", DOCKERFILE, flags=re.MULTILINE)
        for part in line.split()[:-1]
    ]
    assert paths
    assert len(copied) >= 8
    assert named == set(COMPOSE["volumes"])
    assert [path for path in [*paths, *copied] if not (ROOT / path).exists()] == []
    # What is copied must not be kept out of the build, which starts from nothing.
    let_in = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE))
    assert set(copied) == let_in


def test_the_image_is_the_locked_airflow() -> None:
    locked = re.search(
        r"^apache-airflow==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE
    )
    base = re.search(r"^FROM apache/airflow:([\d.]+)-python(3\.\d+)$", DOCKERFILE, flags=re.MULTILINE)
    assert locked
    assert base
    assert base[1] == locked[1]
    assert base[2] in ("3.11", "3.12", "3.13")


def test_images_are_pinned_by_tag() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert version
    for name, service in SERVICES.items():
        named = DEFAULT.fullmatch(service["image"])
        image, _, tag = (named[1] if named else service["image"]).partition(":")
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?", tag), name
        if image == "bc-outlook-contact-sync":
            assert tag == version[1]


def test_nothing_runs_as_root() -> None:
    for name, service in SERVICES.items():
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
    assert re.findall(r"^USER (.+)$", DOCKERFILE, flags=re.MULTILINE) == ["airflow"]


def test_what_stays_up_is_watched() -> None:
    for name, service in SERVICES.items():
        if name == "init":
            assert service["restart"] == "no"
        else:
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped"


def test_everything_waits_for_the_one_shot_init() -> None:
    for name in AIRFLOW_SERVICES - {"init"}:
        assert SERVICES[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert "airflow db migrate" in SERVICES["init"]["command"][0]


def test_the_sandbox_is_a_profile_on_the_workers_loopback() -> None:
    sandbox = SERVICES["sandbox"]
    assert sandbox["profiles"] == ["sandbox"]
    assert sandbox["network_mode"] == "service:worker"
    assert sandbox["entrypoint"] == ["python", "-m", "sandbox"]


@pytest.mark.airflow
def test_commands_are_those_of_standalone_and_the_worker() -> None:
    import inspect

    from airflow.cli.cli_parser import get_parser
    from airflow.cli.commands.standalone_command import StandaloneCommand

    parts = set(re.findall(r'command=\["([\w-]+)"\]', inspect.getsource(StandaloneCommand)))
    commands = {name: SERVICES[name]["command"] for name in AIRFLOW_SERVICES - {"init", "airflow-clean"}}
    assert parts == {"scheduler", "dag-processor", "api-server", "triggerer"}
    assert {command.removesuffix(" --proxy-headers") for command in commands.values()} == parts | {
        "celery worker"
    }
    for command in commands.values():
        assert get_parser().parse_args(command.split()).func


@pytest.mark.airflow
def test_every_setting_exists_in_airflow() -> None:
    from airflow.configuration import conf
    from airflow.providers.fab.get_provider_info import get_provider_info

    described_by_all = {**conf.configuration_description, **get_provider_info()["config"]}
    known = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, described in described_by_all.items()
        for option in described["options"]
    }
    compose = settings_of({**shared_settings(), **SERVICES["init"]["environment"]})
    demo = settings_of(airflow_environment(Path("demo-home"), 8080))
    assert len(known) > 200
    assert ({*compose, *demo} - known) == set()


def test_no_password_is_on_a_command_line() -> None:
    """O7: every list of processes would show it; standard input and the environment do not."""
    init, redis = SERVICES["init"]["command"][0], SERVICES["redis"]["command"][0]
    assert "--password" not in init
    for command in (init, redis):
        # Of the shell's own printf no list of processes shows anything.
        assert [line.split()[0] for line in command.splitlines() if "PASSWORD" in line] == ["printf"]
    assert all(
        "PASSWORD" not in str(SERVICES[name].get("command")) for name in set(SERVICES) - {"init", "redis"}
    )


def test_redis_asks_for_a_password() -> None:
    """O7: whoever reaches the broker can have any task run."""
    assert "requirepass" in SERVICES["redis"]["command"][0]
    assert "${REDIS_PASSWORD:?" in SERVICES["worker"]["environment"]["AIRFLOW__CELERY__BROKER_URL"]


def test_cookies_are_for_tls_and_the_proxy_says_whether_there_is_any() -> None:
    """O7: behind a proxy Airflow itself sees plain http, and would send its cookies anywhere."""
    api_server = SERVICES["api-server"]
    assert "--proxy-headers" in api_server["command"]
    assert api_server["environment"]["FORWARDED_ALLOW_IPS"] == "*"
    assert all(port.startswith("127.0.0.1:") for port in api_server["ports"])
    assert api_server["environment"]["AIRFLOW__FAB__COOKIE_SECURE"] == "${COOKIE_SECURE:-True}"


def test_a_dead_worker_is_noticed_before_the_next_run_but_not_before_its_lease_is_free() -> None:
    """O12: tried again earlier, the task would find its own profile busy."""
    from sync_lib.settings import SyncSettings

    seconds = int(shared_settings()["AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT"])
    assert SyncSettings().lease <= seconds < 300
