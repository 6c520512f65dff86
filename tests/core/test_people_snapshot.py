"""What teams, organizations and users say of a key is looked up when its request arrives."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ApiKey, GatewayUser, Organization, Team
from security_app.registry import PEOPLE, SECTION, Principal, build, build_people
from security_app.services.authentication import UnknownKey, authenticate_in
from security_app.services.configuration import read_versions
from security_app.services.keys import CreatedKey, create_key
from security_app.services.permissions import decide_model, decide_tool

pytestmark = pytest.mark.django_db


def other_process() -> SnapshotStore:
    """A store of its own, as another server process has it."""
    store = SnapshotStore(read_versions)
    store.register(SECTION, build)
    store.register(PEOPLE, build_people)
    store.refresh()
    return store


def enter(store: SnapshotStore, key: CreatedKey) -> Principal:
    return authenticate_in(store.current, key.plain)


@pytest.fixture
def organization() -> Organization:
    return Organization.objects.create(name="Acme")


@pytest.fixture
def team(organization: Organization) -> Team:
    return Team.objects.create(name="Search", organization=organization)


def test_a_key_of_a_team_is_in_the_team_s_organization(organization: Organization, team: Team) -> None:
    key = create_key(actor="t", team=team)

    principal = enter(other_process(), key)

    assert (principal.team_id, principal.organization_id) == (team.id, organization.id)


def test_a_key_follows_its_team_to_another_organization(team: Team) -> None:
    key = create_key(actor="t", team=team)
    store = other_process()

    team.organization = Organization.objects.create(name="Umbrella")
    team.save()
    store.refresh()

    assert enter(store, key).organization_id == team.organization.id


def test_team_grants_are_visible_at_once_in_another_process_s_snapshot(team: Team) -> None:
    key = create_key(actor="t", team=team, allowed_models=["*"])
    store = other_process()
    assert decide_model(enter(store, key), "openai/gpt-5").is_allowed

    team.allowed_models, team.allowed_tools = ["local/*"], ["crm_*"]
    team.save()
    store.refresh()
    narrowed = enter(store, key)
    Team.objects.filter(pk=team.pk).update(allowed_models=["local/*", "openai/*"])
    store.refresh()
    widened = enter(store, key)

    denied = decide_model(narrowed, "openai/gpt-5")
    assert not denied.is_allowed
    assert "team" in denied.reason
    assert decide_model(narrowed, "local/tiny").is_allowed
    assert decide_tool(narrowed, "crm_find").is_allowed
    assert not decide_tool(narrowed, "shell").is_allowed
    assert decide_model(widened, "openai/gpt-5").is_allowed


def test_a_team_s_list_never_widens_a_key(team: Team) -> None:
    Team.objects.filter(pk=team.pk).update(allowed_models=["*"])
    key = create_key(actor="t", team=team, allowed_models=["local/*"])

    assert not decide_model(enter(other_process(), key), "openai/gpt-5").is_allowed


@pytest.mark.parametrize("who", ["team", "organization", "user"])
def test_blocking_somebody_blocks_their_keys(who: str, organization: Organization, team: Team) -> None:
    user = GatewayUser.objects.create(user_id="alice")
    key = create_key(actor="t", team=team, user_id="alice")
    store = other_process()
    subject: Any = {"team": team, "organization": organization, "user": user}[who]

    subject.is_blocked = True
    subject.save()
    store.refresh()
    with pytest.raises(AuthenticationFailed) as refused:
        enter(store, key)
    subject.is_blocked = False
    subject.save()
    store.refresh()

    assert refused.value.reason == f"{who}_blocked"
    assert enter(store, key).user_id == "alice"


def test_a_key_whose_team_is_not_loaded_yet_asks_for_another_look(team: Team) -> None:
    store = other_process()
    people = store.current.sections[PEOPLE]
    late = Team.objects.create(name="Late")
    key = create_key(actor="t", team=late)
    store.refresh()
    sections = {**store.current.sections, PEOPLE: people}
    stale = type(store.current)(sections)

    with pytest.raises(UnknownKey):
        authenticate_in(stale, key.plain)

    assert enter(store, key).team_id == late.id


def test_an_unusable_row_keeps_its_keys_out_and_is_shown(team: Team) -> None:
    key = create_key(actor="t", team=team)
    Team.objects.filter(pk=team.pk).update(allowed_models={"no": "list"})

    store = other_process()

    assert [item.object for item in store.current.diagnostics()] == ["team Search"]
    with pytest.raises(AuthenticationFailed):
        enter(store, key)


def test_a_key_without_people_is_not_copied(organization: Organization) -> None:
    key = create_key(actor="t")
    store = other_process()

    principal = enter(store, key)

    assert principal is store.current.sections[SECTION].value.keys[bytes(key.row.digest)]
    assert principal.bounds == ()


def test_a_change_of_people_reads_no_key(team: Team) -> None:
    create_key(actor="t", team=team)
    store = other_process()
    keys = store.current.sections[SECTION]
    read: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        read.append(sql)
        return execute(sql, params, many, context)

    team.save()
    with connection.execute_wrapper(watch):
        store.refresh()

    assert store.current.sections[SECTION] is keys
    assert not any(ApiKey._meta.db_table in sql for sql in read)
