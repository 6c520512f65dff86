"""Which environment variables an upstream may be given: those for models, and those that a setting names."""

from __future__ import annotations

import pytest

from gateway_project.core.environment import check_variable


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
