"""Which environment variables and files an upstream may be given, and that the gateway's own are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_project.core.environment import check_secret_file, check_variable


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "TOGETHERAI_API_KEY", "OLLAMA_API_BASE", "VLLM_BASE_URL"])
def test_what_vendors_of_models_need_may_be_sent(name: str) -> None:
    check_variable(name, prefixes=[])


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "SECRET_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GITHUB_TOKEN",
        "PGPASSWORD",
        "TEAM_X",
    ],
)
def test_what_is_for_others_may_not_and_the_rule_is_told(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} .*_API_KEY.* GATEWAY_SECRET_ENV_PREFIXES"):
        check_variable(name, prefixes=["LAB_"])


def test_a_setting_opens_more() -> None:
    check_variable("TEAM_X", prefixes=["LAB_", "TEAM_"])


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_SECRET_KEY",
        "GATEWAY_KEY_PEPPERS",
        "GATEWAY_OTHER_API_KEY",
        "gateway_other_API_KEY",
        "DJANGO_SUPERUSER_PASSWORD",
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "REDIS_URL",
    ],
)
def test_nothing_opens_the_gateways_own(name: str) -> None:
    with pytest.raises(ValueError, match="own secrets"):
        check_variable(name, prefixes=["GATEWAY_", "gateway_", "D", "R"])


@pytest.mark.parametrize("name", ["", "A B_API_KEY", "A=_API_KEY", "\xc4_API_KEY", "A\n_API_KEY"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="Give the name"):
        check_variable(name, prefixes=[])


def test_a_secret_file_is_told_by_where_it_really_is(tmp_path: Path) -> None:
    secret = tmp_path / "vendor_key"
    secret.write_text("sk-1")
    (tmp_path / "link").symlink_to(secret)

    assert check_secret_file(secret) == check_secret_file(tmp_path / "link") == secret.resolve()


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_SECRET_KEY_FILE",
        "GATEWAY_ENV_FILE",
        "DJANGO_SUPERUSER_PASSWORD_FILE",
        "DATABASE_URL_FILE",
        "REDIS_URL_FILE",
    ],
)
def test_files_of_the_gateways_own_secrets_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, named, link = tmp_path / "real", tmp_path / "named", tmp_path / "link"
    real.write_text("secret")
    named.symlink_to(real)
    link.symlink_to(named)
    monkeypatch.setenv(name, str(named))

    for path in (real, named, link, tmp_path / "x" / ".." / "named"):
        with pytest.raises(ValueError, match="own data"):
            check_secret_file(path)


def test_a_vendors_key_may_be_a_file_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET_KEY_FILE", str(tmp_path / "secret_key"))
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "openai"))

    check_secret_file(tmp_path / "openai")
    check_secret_file(tmp_path / "secret_key_of_a_vendor")


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/environ",
        "/proc/1/environ",
        "/sys/kernel/version",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    ],
)
def test_what_the_system_tells_of_this_process_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="own data"):
        check_secret_file(Path(path))


def test_the_data_the_journal_and_the_env_file_are_refused(settings: Any, tmp_path: Path) -> None:
    settings.JOURNAL_DIR, settings.ENV_FILE = tmp_path / "journal", tmp_path / ".env"

    for path in (settings.GATEWAY_DATA_DIR / "secrets.env", tmp_path / "journal" / "1", tmp_path / ".env"):
        with pytest.raises(ValueError, match="own data"):
            check_secret_file(path)


@pytest.mark.parametrize("path", ["", "relative", "/with\0null"])
def test_a_secret_file_has_an_absolute_path(path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        check_secret_file(Path(path))


def test_links_in_a_circle_are_no_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    check_secret_file(tmp_path / "a")
