"""compose.yaml and the Dockerfile say what they should, and fit what is in the repository.

There is no Docker engine where the tests run: tests/commands/test_image.py replays what can be replayed.
"""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # It ships no types.

from gateway_project.core.crypto import parse_ring
from tests.repository.compose_schema import SCHEMA
from tests.repository.container_files import (
    ROOT,
    compose,
    compose_variables,
    copied_sources,
    dockerfile_steps,
    image_environment,
    last_stage,
)

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = ("setup", "gateway", "worker", "beat")
GUIDE = ROOT / "docs" / "guides" / "deploy-compose.md"
each_service = pytest.mark.parametrize("name", SERVICES)


def secrets_folder(folder: Path) -> Path:
    """The secrets as a person makes them."""
    subprocess.run(["sh", ROOT / "ops/docker/make-secrets.sh", folder], check=True, capture_output=True)
    return folder


def test_compose_follows_its_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    errors = list(Draft202012Validator(SCHEMA).iter_errors(compose()))

    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize(
    "change",
    [
        {"comand": ["serve"]},
        {"healthcheck": {"test": ["python"]}},
        {"depends_on": {"postgres": {"condition": "healthy"}}},
        {"stop_grace_period": "90"},
        {"restart": False},
    ],
)
def test_the_schema_finds_mistakes(change: dict[str, Any]) -> None:
    wrong = compose()
    wrong["services"]["gateway"] |= change

    assert not Draft202012Validator(SCHEMA).is_valid(wrong)


def test_what_services_name_is_there() -> None:
    file = compose()

    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service["networks"]) <= set(file["networks"]), name
        assert set(service.get("secrets", ())) <= set(file["secrets"]), name
        named = {volume.partition(":")[0] for volume in service.get("volumes", ())}
        assert {volume for volume in named if not volume.startswith(".")} <= set(file["volumes"]), name
        for condition in [item["condition"] for item in service.get("depends_on", {}).values()]:
            assert condition != "service_started", name
    for name, service in SERVICES.items():
        for other, item in service.get("depends_on", {}).items():
            is_checked = SERVICES[other].get("healthcheck", {}).get("disable") is not True
            assert is_checked or item["condition"] == "service_completed_successfully", (name, other)


@each_service
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert name in OURS or service["user"] not in ("root", "0")
    assert "privileged" not in service


@each_service
def test_every_image_has_a_version(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]

    assert tag not in ("", "latest")


def test_only_the_gateway_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"gateway": ["127.0.0.1:8000:8000"]}
    assert compose()["networks"]["back"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["back"] for name in ("postgres", "valkey", "backup"))


def test_secrets_come_from_files_that_the_script_makes(tmp_path: Path) -> None:
    folder = secrets_folder(tmp_path / "secrets")
    before = {path.name: path.read_text() for path in folder.iterdir()}

    assert {f"./secrets/{name}" for name in before} == {
        item["file"] for item in compose()["secrets"].values()
    }
    assert {path.name: path.read_text() for path in secrets_folder(folder).iterdir()} == before
    assert (folder.stat().st_mode & 0o777, (folder / "redis_url").stat().st_mode & 0o777) == (0o700, 0o644)
    for ring in ("encryption_keys", "key_peppers"):
        assert len(parse_ring(before[ring])) == 1
    assert before["postgres_password"] in before["database_url"]
    for name in OURS:
        for variable, value in SERVICES[name]["environment"].items():
            assert not value or not re.search("SECRET_KEY$|KEYS$|PEPPERS$|PASSWORD$|_URL$", variable), (
                variable
            )
            if variable.endswith("_FILE"):
                assert Path(value).name in SERVICES[name]["secrets"]


def test_variables_of_compose_are_known_settings() -> None:
    known = (ROOT / "docs/reference/settings.md").read_text() + GUIDE.read_text()

    assert {name for name in compose_variables() if f"`{name}" not in known} == set()


def test_the_image_is_confined_and_checks_itself() -> None:
    steps = last_stage()
    by_name = {step.instruction: step for step in steps}

    assert by_name["USER"].text == "1000:1000"
    assert by_name["STOPSIGNAL"].text == "SIGTERM"
    assert by_name["ENTRYPOINT"].words[:2] == ["tini", "--"]
    assert "healthcheck.py" in by_name["HEALTHCHECK"].text
    assert by_name["VOLUME"].words == [image_environment()["GATEWAY_DATA_DIR"]]
    assert "curl" not in " ".join(step.text for step in steps)
    assert any(step.instruction == "LABEL" and "opencontainers" in step.text for step in steps)
    assert not [name for name in image_environment() if re.search("KEY|PEPPER|PASSWORD|TOKEN", name)]


def test_the_image_is_built_from_a_tag_and_from_locked_packages() -> None:
    steps = dockerfile_steps()
    (image,) = [step.text for step in steps if step.text.startswith("PYTHON_IMAGE=")]

    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.12[.0-9]*-slim-[a-z]+", image)
    assert len([step for step in steps if step.instruction == "FROM"]) == 2
    installs = [step.text for step in steps if "pip install" in step.text]
    assert all("--require-hashes" in text for text in installs)
    assert len(installs) == 1


def test_what_is_copied_is_in_the_build_context_and_nothing_else_is() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    sources = {source for source, _target in copied_sources()}

    assert lines[1] == "*"
    assert allowed == sources
    assert all((ROOT / source).exists() for source in sources)
    assert not [line for line in lines if fnmatch(".env", line) and line != "*"]


def test_every_role_of_compose_is_one_of_the_entry_point() -> None:
    script = (ROOT / "ops/docker/entrypoint.sh").read_text()
    roles = set(re.findall(r"^ {4}([a-z]+)\)$", script, re.MULTILINE))

    assert roles == {"all", "serve", "worker", "beat"}
    assert {SERVICES[name]["command"][0] for name in OURS} == {"bootstrap", "serve", "worker", "beat"}
    for path in ("entrypoint.sh", "make-secrets.sh"):
        assert subprocess.run(["sh", "-n", ROOT / "ops/docker" / path], check=False).returncode == 0
        assert (ROOT / "ops/docker" / path).stat().st_mode & 0o111


def guide_commands() -> list[str]:
    """The lines of the guide's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines() if line]


def test_the_guides_commands_can_be_parsed() -> None:
    for command in guide_commands():
        result = subprocess.run(["sh", "-n", "-c", command], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, ""), command


def test_what_the_guide_restores_is_what_is_backed_up() -> None:
    written = {name for command in guide_commands() for name in re.findall(r"> (backups/\S+)", command)}
    (dump,) = re.findall(r'--file "/(backups/[^"]+)"', SERVICES["backup"]["command"][0])
    name, suffix = dump.split("$$(date -u +%Y%m%dT%H%M%SZ)")

    read = {name for command in guide_commands() for name in re.findall(r"< (backups/\S+)", command)}

    dumps = {path for path in read if re.fullmatch(rf"{name}\d{{8}}T\d{{6}}Z{re.escape(suffix)}", path)}
    assert len(dumps) == 1
    assert read - dumps == written == {"backups/journal.tar"}


def test_the_guides_commands_name_services_and_files_that_exist() -> None:
    named: set[str] = set()
    for command in guide_commands():
        for words in re.findall(r"docker compose ((?:--profile \w+ )?\w+[^|&;<>]*)", command):
            arguments = words.split()
            verb = arguments[0]
            assert verb in {"up", "down", "logs", "exec", "run", "ps", "stop", "start", "build", "cp"}, (
                command
            )
            plain = [word for word in arguments[1:] if re.fullmatch("[a-z]+", word)]
            if verb in ("exec", "run"):
                plain = plain[:1]
            assert set(plain) <= set(SERVICES), command
            named |= set(plain)
        for path in re.findall(r"\bops/[\w./-]+", command):
            assert (ROOT / path).is_file(), command
    assert {"gateway", "postgres", "backup", "setup"} <= named
