"""Limits of members: a user's keys of one team share a counter, and those of another team have another."""

from __future__ import annotations

from uuid import UUID

from gateway_project.core.ids import uuid7
from security_app.models.limits import member_id, stored_subject_id
from security_app.registry import Principal
from security_app.registry.limits import CALL, CALL_IN_RUN, LimitsConfig
from tests.limits.door import MODEL, POLICY, limit

RED = UUID("01900000-0000-7000-8000-0000000000aa")
BLUE = UUID("01900000-0000-7000-8000-0000000000bb")


def principal(team: UUID | None, user: str) -> Principal:
    return Principal(uuid7(), "a key", user, POLICY, 0.0, is_blocked=False, team_id=team)


def counted(config: LimitsConfig, whose: Principal, variant: str = CALL) -> list[str]:
    return [meter.subject for meter in config.plan(variant, config.who(whose), MODEL).meters]


def test_all_keys_of_a_user_in_a_team_share_a_counter_and_nobody_elses_do() -> None:
    ada = member_id(RED, "ada")
    config = LimitsConfig()
    config.put(limit(kind="member", subject=ada, metric="tokens"))
    config.seal()

    assert counted(config, principal(RED, "ada")) == [ada]
    assert counted(config, principal(RED, "ada"), CALL_IN_RUN) == [ada]
    for team, user in ((BLUE, "ada"), (RED, "bob"), (RED, ""), (None, "ada")):
        assert counted(config, principal(team, user)) == []


def test_one_for_each_member_is_a_counter_for_each() -> None:
    config = LimitsConfig()
    config.put(limit(kind="member", subject=""))
    config.seal()

    found = {
        tuple(counted(config, principal(team, user))) for team in (RED, BLUE) for user in ("ada", "bob:x")
    }

    assert found == {(member_id(team, user),) for team in (RED, BLUE) for user in ("ada", "bob:x")}


def test_ids_of_members_have_one_form() -> None:
    assert stored_subject_id("member", f"team_{RED}:ada:1") == f"{RED.hex}:ada:1"
    assert stored_subject_id("member", "") == ""
    for text in ("ada", f"{RED}", f"{RED}:", ":ada"):
        assert stored_subject_id("member", text) is None
