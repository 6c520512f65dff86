"""Settings come from the environment, and a wrong one is named before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway_project.settings import env as parsers
from gateway_project.settings import sign_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("text", "port"), [("1", 1), ("8000", 8000), ("65535", 65535)])
def test_ports(text: str, port: int) -> None:
    assert parsers.parse_port(text, name="PORT") == port


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512K", 524_288), ("20m", 20 * 1024**2), ("1G", 1024**3), ("1048576", 2**20)],
)
def test_sizes(text: str, size: int) -> None:
    assert parsers.parse_size(text, name="X") == size


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("0.5", 0.5), ("30", 30.0)])
def test_seconds(text: str, seconds: float) -> None:
    assert parsers.parse_seconds(text, name="X") == seconds


def test_prefixes() -> None:
    assert parsers.parse_prefixes(["TEAM_", "lab"], name="X") == ["TEAM_", "lab"]


@pytest.mark.parametrize("item", ["", "_", "TEAM-", "TEAM_*", "tëam"])
def test_what_begins_no_name_is_refused(item: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SETTING"):
        parsers.parse_prefixes([item], name="SETTING")


def test_origins() -> None:
    items = ["https://chat.example.org/", "tauri://localhost", "app://obsidian.md", "*"]

    assert parsers.parse_origins(items, name="X") == [item.rstrip("/") for item in items]


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        *(("parse_port", text) for text in ("", "0", "65536", "http", "80.0", "-1")),
        *(("parse_positive", text) for text in ("", "0", "-1", "1.5", "x")),
        *(("parse_seconds", text) for text in ("", "-1", "nan", "inf", "86400", "x")),
        *(("parse_size", text) for text in ("", "0", "K", "1T", "-1M", "1.5M", "many")),
        *(("parse_key_ring", text) for text in ("x", "a:AAAA")),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(parser: str, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SETTING"):
        getattr(parsers, parser)(text, name="SETTING")


@pytest.mark.parametrize(
    ("text", "engine", "host", "database"),
    [
        ("sqlite:////data/gateway.sqlite3", "sqlite3", "", "/data/gateway.sqlite3"),
        ("postgresql://user:p%40ss@db:5432/gateway", "postgresql", "db", "gateway"),
        ("postgres://user:p%40ss@db/gateway", "postgresql", "db", "gateway"),
    ],
)
def test_databases(text: str, engine: str, host: str, database: str) -> None:
    config = parsers.parse_database_url(text, name="X")

    assert config["ENGINE"] == f"django.db.backends.{engine}"
    assert (config["HOST"], config["NAME"]) == (host, database)
    assert config["PASSWORD"] == ("p@ss" if host else "")


@pytest.mark.parametrize("text", ["", "redis://:secret@cache:6379/1", "rediss://cache"])
def test_addresses_of_valkey(text: str) -> None:
    assert parsers.parse_redis_url(text, name="X") == text


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("", "gateway.0."),
        ("redis://cache", "gateway.0."),
        ("redis://:secret@cache:6379/", "gateway.0."),
        ("redis://:secret@cache:6379/12", "gateway.12."),
        ("rediss://cache?db=3", "gateway.3."),
    ],
)
def test_installations_that_share_a_server_publish_under_names_of_their_own(url: str, prefix: str) -> None:
    assert parsers.channel_prefix(url) == prefix


@pytest.mark.parametrize(
    ("parser", "text", "words"),
    [
        *(
            ("parse_database_url", text, "sqlite:/// or postgresql://")
            for text in ("mysql://h/d", "x", "h:5/d")
        ),
        *(
            ("parse_redis_url", text, "redis:// or rediss://")
            for text in ("valkey://h", "unix:///s", "h:6379")
        ),
        *(
            ("parse_database_url", f"postgresql://{rest}/d", "percent-encoded")
            for rest in ("u:s3c/ret@h", "h:p")
        ),
        *(
            ("parse_redis_url", f"redis://{rest}", "percent-encoded")
            for rest in (":s3c/ret@h", "h:port", "[")
        ),
    ],
)
def test_an_address_of_a_service_is_refused_without_its_password(parser: str, text: str, words: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SETTING") as raised:
        getattr(parsers, parser)(text, name="SETTING")

    assert words in str(raised.value)
    assert "s3c" not in str(raised.value)


@pytest.mark.parametrize(
    "item", ["https://[", "example.org", "https://", "https://a.org/path", "localhost:3000", ""]
)
def test_what_is_no_origin_is_refused(item: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SETTING"):
        parsers.parse_origins([item], name="SETTING")


def test_a_dotenv_file_adds_and_does_not_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("GATEWAY_TEST_A=from file\nGATEWAY_TEST_B=from file\n")
    monkeypatch.setenv("GATEWAY_TEST_A", "from outside")
    monkeypatch.setenv("GATEWAY_TEST_B", "")
    monkeypatch.delenv("GATEWAY_TEST_B")

    parsers.read_dotenv(file)
    parsers.read_dotenv(tmp_path / "missing")

    assert (os.environ["GATEWAY_TEST_A"], os.environ["GATEWAY_TEST_B"]) == ("from outside", "from file")


def test_a_secret_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from a file")
    monkeypatch.setenv("GATEWAY_TEST_SECRET_FILE", str(tmp_path / "secret"))

    assert parsers.Environment()("GATEWAY_TEST_SECRET", default="") == "from a file"


def check(**variables: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check --deploy` under these settings alone."""
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings.base",
    }
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--tag", "security"],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "setting", [{"DATABASE_URL": "foo://u:secret@h/d"}, {"REDIS_URL": "foo://:secret@h"}, {"PORT": "none"}]
)
def test_a_wrong_setting_is_one_line_and_no_stack_trace(tmp_path: Path, setting: dict[str, str]) -> None:
    found = check(GATEWAY_DATA_DIR=str(tmp_path), **setting)

    (line,) = found.stderr.splitlines()
    assert found.returncode == 1
    assert line.startswith(f"The configuration is wrong: {next(iter(setting))} must ")
    assert "secret" not in line


def test_an_empty_address_is_the_default(tmp_path: Path) -> None:
    found = check(GATEWAY_DATA_DIR=str(tmp_path), DATABASE_URL="", REDIS_URL=" ")

    assert "gateway.E001" in found.stderr


def test_missing_secrets_are_errors_with_ids(tmp_path: Path) -> None:
    found = check(GATEWAY_DATA_DIR=str(tmp_path), GATEWAY_MASTER_KEY="short")

    assert found.returncode != 0
    assert all(f"gateway.E00{number}" in found.stderr for number in (1, 2, 3, 4))


def test_shipped_settings_are_sound(settings: object) -> None:
    from gateway_project import checks

    assert checks.check_secrets() == []
    assert checks.check_processes() == []
    assert checks.check_exposure() == []


def test_several_processes_need_valkey(settings: pytest.FixtureRequest) -> None:
    from gateway_project import checks

    settings.WEB_CONCURRENCY, settings.REDIS_URL = 2, ""  # type: ignore[attr-defined]
    assert [message.id for message in checks.check_processes()] == ["gateway.E005"]
    settings.REDIS_URL = "redis://localhost"  # type: ignore[attr-defined]
    assert checks.check_processes() == []


def test_listening_to_the_world_without_https_is_a_warning(settings: pytest.FixtureRequest) -> None:
    from gateway_project import checks

    settings.HOST, settings.DEBUG = "::", True  # type: ignore[attr-defined]
    assert [message.id for message in checks.check_exposure()] == ["gateway.W001", "gateway.W002"]
    settings.HTTPS_ONLY, settings.DEBUG = True, False  # type: ignore[attr-defined]
    assert checks.check_exposure() == []


def test_https_that_nobody_may_vouch_for_is_a_warning(settings: pytest.FixtureRequest) -> None:
    from gateway_project import checks

    assert checks.check_proxy() == []
    settings.HTTPS_ONLY = True  # type: ignore[attr-defined]
    assert [message.id for message in checks.check_proxy()] == ["gateway.W003"]
    settings.TRUSTED_PROXIES = ["10.0.0.1"]  # type: ignore[attr-defined]
    assert checks.check_proxy() == []


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://cache", "False"),
        ("rediss://cache", "{'ssl_cert_reqs': <VerifyMode.CERT_REQUIRED: 2>}"),
        ("rediss://cache?ssl_cert_reqs=none", "{'ssl_cert_reqs': <VerifyMode.CERT_NONE: 0>}"),
    ],
)
def test_the_task_queue_verifies_a_certificate_unless_told_otherwise(
    tmp_path: Path, url: str, options: str
) -> None:
    environment = {"GATEWAY_ENV_FILE": os.devnull, "GATEWAY_DATA_DIR": str(tmp_path), "REDIS_URL": url}
    found = subprocess.run(
        [sys.executable, "-c", "from gateway_project.celery import app; print(app.connection().ssl)"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert found.stdout.strip() == options


def test_choices_and_pairs_are_named_when_they_are_wrong() -> None:
    assert parsers.parse_choice(" Everybody ", ("nobody", "everybody"), name="X") == "everybody"
    assert parsers.parse_pairs(["CN=ops=operator"], name="X") == {"CN=ops": "operator"}
    for text in ("operator", "=operator", "ops="):
        with pytest.raises(ImproperlyConfigured, match="X"):
            parsers.parse_pairs([text], name="X")
    with pytest.raises(ImproperlyConfigured, match="X must be one of"):
        parsers.parse_choice("some", ("nobody", "everybody"), name="X")


@pytest.mark.parametrize(
    ("issuer", "client_id"),
    [("http://id.example", "gateway"), ("id.example", "gateway"), ("https://id.example", "")],
)
def test_an_identity_provider_must_be_complete_and_behind_tls(issuer: str, client_id: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="GATEWAY_OIDC"):
        sign_in.identity_provider(issuer=issuer, client_id=client_id, secret="s", name="SSO")


@pytest.mark.parametrize("proxies", [["*"], ["10.0.0.1", "0.0.0.0/0"], ["::/0"]])
def test_proxies_that_are_everybody_are_told(settings: Any, proxies: list[str]) -> None:
    from gateway_project import checks

    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert checks.check_trusted_proxies() == []

    settings.TRUSTED_PROXIES = proxies

    assert [message.id for message in checks.check_trusted_proxies()] == ["gateway.W005"]
