"""`manage.py bootstrap` makes a machine ready once, and does no harm when it runs again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from upstreams_app.demo.catalogue import MODELS

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """An empty data folder and the commands that a person runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **kept,
            "GATEWAY_DATA_DIR": str(folder),
            "GATEWAY_ENV_FILE": os.devnull,
            "GATEWAY_PROBE_LOCAL_SERVERS": "false",
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings.base",
        }

    def manage(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environment, **extra},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def value(self, expression: str) -> str:
        """What an expression over the models is worth on this machine."""
        code = (
            "from django.contrib.auth.models import User;"
            "from security_app.models import ApiKey;"
            "from upstreams_app.models import Upstream, UpstreamModel;"
            f"print({expression})"
        )
        # Django prints what its shell imports by itself; ours is the last line.
        return self.manage("shell", "--no-imports", "-c", code).stdout.strip().splitlines()[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "data")


def test_a_new_machine_gets_secrets_an_administrator_a_key_and_the_demo(machine: Machine) -> None:
    result = machine.manage("bootstrap")

    assert result.returncode == 0, result.stderr
    assert re.search(r"Password: +\S{12,}", result.stdout)
    assert re.search(r"API key: +sk-gw-[0-9A-Za-z]{46}\n", result.stdout)
    assert "curl -s http://127.0.0.1:8000/v1/chat/completions" in result.stdout
    assert machine.value("User.objects.get(is_superuser=True).username") == "admin"
    assert machine.value("UpstreamModel.objects.filter(upstream__kind='demo').count()") == str(len(MODELS))


def test_the_addresses_it_prints_can_be_opened(machine: Machine) -> None:
    result = machine.manage("bootstrap", HOST="::1")

    assert "curl -s http://[::1]:8000/v1/chat/completions" in result.stdout


def test_the_secrets_are_readable_by_their_owner_alone(machine: Machine) -> None:
    machine.manage("bootstrap")

    assert (machine.folder / "secrets.env").stat().st_mode & 0o777 == 0o600
    assert machine.folder.stat().st_mode & 0o777 == 0o700


def test_a_second_run_changes_nothing_and_shows_no_secret_again(machine: Machine) -> None:
    first = machine.manage("bootstrap")
    secrets = (machine.folder / "secrets.env").read_bytes()

    second = machine.manage("bootstrap")

    assert second.returncode == 0, second.stderr
    assert (machine.folder / "secrets.env").read_bytes() == secrets
    assert "sk-gw-" not in second.stdout
    assert "Password" not in second.stdout
    assert "sk-gw-" in first.stdout
    assert (
        machine.value("(User.objects.count(), ApiKey.objects.count(), Upstream.objects.count())")
        == "(1, 1, 1)"
    )


def test_the_administrator_of_the_environment_is_made_and_the_password_not_printed(machine: Machine) -> None:
    result = machine.manage(
        "bootstrap",
        DJANGO_SUPERUSER_USERNAME="alice",
        DJANGO_SUPERUSER_PASSWORD="correct horse battery",
    )

    assert "alice" in result.stdout
    assert "correct horse" not in result.stdout
    assert machine.value("User.objects.get().check_password('correct horse battery')") == "True"


def test_other_keys_than_those_of_the_database_are_refused(machine: Machine) -> None:
    machine.manage("bootstrap")

    wrong = machine.manage("bootstrap", GATEWAY_ENCRYPTION_KEYS="k1:" + "C" * 43 + "=")

    assert wrong.returncode != 0
    assert "key ring does not fit this database" in wrong.stderr


def test_openai_is_registered_by_reference_and_its_key_not_stored(machine: Machine) -> None:
    result = machine.manage(
        "bootstrap", OPENAI_API_KEY="sk-vendor-secret-0001", HTTPS_PROXY="http://127.0.0.1:9", PORT="8177"
    )

    assert result.returncode == 0, result.stderr
    assert "openai" in result.stdout
    assert machine.value("Upstream.objects.get(kind='openai').credential_reference") == "env:OPENAI_API_KEY"
    assert machine.value("Upstream.objects.get(kind='openai').api_key_sealed or 'nothing'") == "nothing"


def test_without_its_secrets_the_server_says_what_is_missing(machine: Machine) -> None:
    machine.folder.mkdir()

    result = machine.manage("serve")

    assert result.returncode != 0
    assert "gateway.E002" in result.stderr
    assert "manage.py bootstrap" in result.stderr


def test_a_wrong_setting_is_named(machine: Machine) -> None:
    result = machine.manage("check", PORT="eighty")

    assert result.returncode != 0
    assert "PORT must be a port from 1 to 65535, not 'eighty'" in result.stderr
