"""A team admin adds to what bounds the own teams' keys, changes who is in them, and nothing beyond that."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ApiKey, Budget, GatewayUser, Limit, Membership, Organization, Team
from security_app.registry.limits import CALL, LimitsConfig, Who
from security_app.services.keys import create_key
from security_app.services.team_rights import MAX_PER_SUBJECT, mark_of
from tests.admin.test_people import members

APP = "/admin/security_app"
KINDS = ["limit", "budget"]


class World:
    """Two teams with a key, a limit and a budget each, which an administrator set; alice administers one."""

    def __init__(self) -> None:
        company = Organization.objects.create(name="Company")
        self.ours = Team.objects.create(name="ours", organization=company)
        self.theirs = Team.objects.create(name="theirs", organization=company)
        self.key = create_key(actor="t", name="key of ours", team=self.ours).row
        self.foreign = create_key(actor="t", name="key of theirs", team=self.theirs).row
        self.managing = create_key(actor="t", name="managing", team=self.ours, scopes=["admin"]).row
        for kind, row in (("team", self.ours), ("team", self.theirs), ("key", self.key)):
            bound(kind, row.pk.hex)
        self.account = User.objects.create_user("alice", is_staff=True)
        self.account.groups.add(Group.objects.get(name="team admin"))
        self.alice = GatewayUser.objects.create(user_id="alice", account=self.account)
        for name in ("bob", "mallory"):
            GatewayUser.objects.create(user_id=name)
        self.place = Membership.objects.create(team=self.ours, user=self.alice, role="admin")
        mallory = GatewayUser.objects.get(user_id="mallory")
        self.foreign_place = Membership.objects.create(team=self.theirs, user=mallory)


def bound(kind: str, subject: str, managed_by: str = "admin", value: int = 7) -> tuple[Limit, Budget]:
    """A limit and a budget of somebody."""
    of: dict[str, Any] = {"subject_kind": kind, "subject_id": subject, "managed_by": managed_by}
    return (
        Limit.objects.create(**of, metric="requests", value=value, window_seconds=value),
        Budget.objects.create(**of, budget_id=f"{kind}-{subject}-{value}", amount=value),
    )


@pytest.fixture
def world(db: None, client: Client) -> World:
    """Alice is signed in."""
    world = World()
    client.force_login(world.account)
    return world


def fields(kind: str, key: ApiKey | None, **more: Any) -> dict[str, Any]:
    """What a team admin's form sends."""
    values: dict[str, Any] = {"model": "", "is_enabled": "on"}
    if key is not None:
        values["key"] = key.public_id
    if kind == "limit":
        values |= {"value": "3", "metric": "tokens", "window_seconds": "60"}
    else:
        values |= {"amount": "3", "window": "month", "time_zone": "UTC", "rolling_days": ""}
    return {**values, **more}


def rows_of(kind: str, subject: Any) -> list[Any]:
    model: Any = Limit if kind == "limit" else Budget
    return list(model.objects.filter(subject_id=subject.pk.hex).order_by("pk"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_the_own_team_is_bounded(world: World, client: Client, kind: str) -> None:
    answer = client.post(f"{APP}/{kind}/add/", fields(kind, world.key))

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    made = rows_of(kind, world.key)[-1]
    assert made.managed_by == mark_of(world.ours.pk)
    path = f"{APP}/{kind}/{made.pk}"
    changed = fields(kind, None, **{"value" if kind == "limit" else "amount": "5"})
    assert client.post(f"{path}/change/", changed).status_code == 302
    made.refresh_from_db()
    assert (made.value if kind == "limit" else made.amount) == 5
    assert client.post(f"{path}/delete/", {"post": "yes"}).status_code == 302
    assert made not in rows_of(kind, world.key)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_of_the_own_team_is_bounded(world: World, client: Client, kind: str) -> None:
    for refused in ("mallory", f"{world.theirs.pk}:mallory", "nobody"):
        answer = client.post(f"{APP}/{kind}/add/", fields(kind, None, member=refused))
        assert "no member of your teams" in answer.content.decode()
    both = client.post(f"{APP}/{kind}/add/", fields(kind, world.key, member="alice"))
    assert "Give a key or a member." in both.content.decode()

    answer = client.post(f"{APP}/{kind}/add/", fields(kind, None, member="alice"))

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    made = (Limit if kind == "limit" else Budget).objects.get(subject_kind="member")
    assert made.subject_id == f"{world.ours.pk.hex}:alice"
    assert made.managed_by == mark_of(world.ours.pk)
    assert "alice in ours" in client.get(f"{APP}/{kind}/").content.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_subject_is_chosen_whatever_the_form_says(world: World, client: Client, kind: str) -> None:
    tampered = {"subject_kind": "team", "subject_id": world.theirs.pk.hex, "managed_by": "admin"}

    for key in (world.foreign, world.managing):
        answer = client.post(f"{APP}/{kind}/add/", fields(kind, key, **tampered))
        assert "no key of your teams" in answer.content.decode()
    client.post(f"{APP}/{kind}/add/", fields(kind, world.key, **tampered, budget_id="mine", soft_amount="1"))

    assert len(rows_of(kind, world.theirs)) == 1
    assert not rows_of(kind, world.foreign)
    assert not rows_of(kind, world.managing)
    made = rows_of(kind, world.key)[-1]
    assert made.is_made_by_team
    if kind == "budget":
        assert made.budget_id.startswith("budget_")
        assert made.soft_amount is None


@pytest.mark.parametrize("kind", KINDS)
def test_what_administrators_set_is_seen_of_the_own_team_and_never_changed(
    world: World, client: Client, kind: str
) -> None:
    (theirs,) = rows_of(kind, world.theirs)
    page = client.get(f"{APP}/{kind}/").content.decode()
    assert str(theirs.pk) not in page

    for row in (*rows_of(kind, world.ours), *rows_of(kind, world.key)):
        assert str(row.pk) in page
        path = f"{APP}/{kind}/{row.pk}"
        assert client.get(f"{path}/change/").status_code == 200
        assert client.post(f"{path}/change/", fields(kind, None)).status_code == 403
        assert client.post(f"{path}/delete/", {"post": "yes"}).status_code == 403
    for part in ("change", "delete", "history"):
        assert client.get(f"{APP}/{kind}/{theirs.pk}/{part}/").status_code == 403
        assert client.post(f"{APP}/{kind}/{theirs.pk}/{part}/", {"post": "yes"}).status_code == 403
    model: Any = type(theirs)
    assert model.objects.count() == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("also_auditor", [False, True])
def test_actions_on_many_reach_the_own_rows_only(
    world: World, client: Client, kind: str, also_auditor: bool
) -> None:
    if also_auditor:
        world.account.groups.add(Group.objects.get(name="auditor"))
    own = bound("key", world.key.pk.hex, mark_of(world.ours.pk), value=9)[KINDS.index(kind)]
    model: Any = type(own)
    chosen = [str(pk) for pk in model.objects.values_list("pk", flat=True)]

    client.post(f"{APP}/{kind}/", {"action": "disable", "_selected_action": chosen})
    deleted = client.post(
        f"{APP}/{kind}/", {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    )

    assert list(model.objects.filter(is_enabled=False)) == [own]
    assert model.objects.count() == 4
    assert deleted.status_code in (200, 403)


def test_what_a_team_adds_never_stands_in_for_what_holds_for_each_key(
    world: World, snapshots: SnapshotStore
) -> None:
    Limit.objects.all().delete()
    Limit.objects.create(subject_kind="key", metric="requests", value=60)
    bound("key", world.key.pk.hex, mark_of(world.ours.pk), value=1_000_000)
    snapshots.refresh()

    config: LimitsConfig = snapshots.current.sections["limits"].value
    plan = config.plan(CALL, Who(key=world.key.pk.hex), "vendor/chat")

    requests = [meter.rule for meter in plan.meters if meter.rule.metric == "requests"]
    assert sorted(getattr(rule, "value", 0) for rule in requests) == [60, 1_000_000]


def test_a_row_that_an_administrator_saves_is_the_administrators(
    world: World, client: Client, admin_user: User
) -> None:
    row, _ = bound("key", world.key.pk.hex, mark_of(world.ours.pk), value=9)
    client.force_login(admin_user)
    sent = fields("limit", None, subject_kind="key", subject_id=world.key.pk.hex, when_unavailable="open")
    client.post(f"{APP}/limit/{row.pk}/change/", sent)

    client.force_login(world.account)

    assert client.post(f"{APP}/limit/{row.pk}/change/", fields("limit", None)).status_code == 403


def test_a_key_has_so_many_of_them_and_no_more(world: World, client: Client) -> None:
    for number in range(MAX_PER_SUBJECT):
        bound("key", world.key.pk.hex, mark_of(world.ours.pk), value=100 + number)

    answer = client.post(f"{APP}/limit/add/", fields("limit", world.key))

    assert "at most 20" in answer.content.decode()


def test_the_same_limit_twice_is_an_error_of_the_form(world: World, client: Client) -> None:
    client.post(f"{APP}/limit/add/", fields("limit", world.key))

    assert client.post(f"{APP}/limit/add/", fields("limit", world.key)).status_code == 200


def team_form(world: World, *rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = {"id": str(world.place.pk), "team": str(world.ours.pk), "role": "admin"}
    return {"metadata": '{"cost_centre": 7}', **members(own, *rows, initial=1), **more}


def change(client: Client, team: Team, data: dict[str, Any]) -> Any:
    return client.post(f"{APP}/team/{team.pk}/change/", data)


def test_members_come_and_go_and_get_roles_by_their_exact_ids(world: World, client: Client) -> None:
    new = {"id": "", "team": str(world.ours.pk), "member": "bob", "role": "member"}
    assert change(client, world.ours, team_form(world, new)).status_code == 302
    place = Membership.objects.get(user__user_id="bob")
    create_key(actor="t", name="of bob", team=world.ours, user_id="bob")

    own = {"id": str(world.place.pk), "team": str(world.ours.pk), "role": "admin"}
    kept = {"id": str(place.pk), "team": str(world.ours.pk), "role": "admin", "member": "mallory"}
    data = {"metadata": "{}", **members(own, kept, initial=2)}
    assert change(client, world.ours, data).status_code == 302
    place.refresh_from_db()
    assert (place.role, place.user.user_id) == ("admin", "bob")

    data = {"metadata": "{}", **members(own, {**kept, "DELETE": "on"}, initial=2)}
    assert change(client, world.ours, data).status_code == 302
    assert not Membership.objects.filter(user__user_id="bob").exists()
    assert ApiKey.objects.get(name="of bob").deleted_at is not None


def test_of_the_team_only_its_data_and_its_members_change(world: World, client: Client) -> None:
    more = {"name": "renamed", "organization": "", "allowed_models": "*", "is_blocked": "on"}

    assert change(client, world.ours, team_form(world, **more)).status_code == 302

    row = Team.objects.get(pk=world.ours.pk)
    assert row.metadata == {"cost_centre": 7}
    assert (row.name, row.organization, row.allowed_models, row.is_blocked) == (
        "ours",
        world.ours.organization,
        [],
        False,
    )
    for path in (f"{APP}/team/add/", f"{APP}/team/{row.pk}/delete/"):
        assert client.get(path).status_code == 403
    client.post(f"{APP}/team/", {"action": "block_rows", "_selected_action": str(row.pk), "confirmed": "yes"})
    assert not Team.objects.get(pk=row.pk).is_blocked


def test_another_team_and_its_members_are_out_of_reach(world: World, client: Client) -> None:
    page = client.get(f"{APP}/team/").content.decode()
    assert "theirs" not in page
    assert "mallory" not in client.get(f"{APP}/team/{world.ours.pk}/change/").content.decode()
    assert client.get(f"{APP}/team/{world.theirs.pk}/change/").status_code == 403
    assert change(client, world.theirs, team_form(world)).status_code == 403

    foreign = {"id": str(world.foreign_place.pk), "team": str(world.theirs.pk), "role": "admin"}
    own = {"id": str(world.place.pk), "team": str(world.ours.pk), "role": "admin"}
    for row in ({**foreign, "DELETE": "on"}, foreign, {**foreign, "team": str(world.ours.pk)}):
        change(client, world.ours, {"metadata": "{}", **members(own, row, initial=2)})
    moved = {**own, "team": str(world.theirs.pk)}
    change(client, world.ours, {"metadata": "{}", **members(moved, initial=1)})

    world.foreign_place.refresh_from_db()
    world.place.refresh_from_db()
    assert (world.foreign_place.role, world.foreign_place.team) == ("member", world.theirs)
    assert world.place.team == world.ours


@pytest.mark.parametrize("role", ["owner", "proxy_admin"])
def test_nobody_is_promoted_beyond_the_team(world: World, client: Client, role: str) -> None:
    new = {"id": "", "team": str(world.ours.pk), "member": "bob", "role": role}

    assert change(client, world.ours, team_form(world, new)).status_code == 200
    assert not Membership.objects.filter(user__user_id="bob").exists()


def test_who_is_unknown_is_not_made_and_who_manages_the_gateway_is_not_removed(
    world: World, client: Client
) -> None:
    new = {"id": "", "team": str(world.ours.pk), "member": "nobody", "role": "member"}
    assert change(client, world.ours, team_form(world, new)).status_code == 200
    assert not GatewayUser.objects.filter(user_id="nobody").exists()

    bob = GatewayUser.objects.get(user_id="bob")
    place = Membership.objects.create(team=world.ours, user=bob)
    create_key(actor="t", name="of bob", team=world.ours, user_id="bob", scopes=["admin"])
    gone = {"id": str(place.pk), "team": str(world.ours.pk), "role": "member", "DELETE": "on"}
    own = {"id": str(world.place.pk), "team": str(world.ours.pk), "role": "admin"}
    change(client, world.ours, {"metadata": "{}", **members(own, gone, initial=2)})

    assert Membership.objects.filter(pk=place.pk).exists()
    assert ApiKey.objects.get(name="of bob").deleted_at is None


def test_a_member_sees_none_of_it(world: World, client: Client) -> None:
    world.place.role = "member"
    world.place.save()

    for kind in KINDS:
        assert client.get(f"{APP}/{kind}/add/").status_code == 403
        assert client.get(f"{APP}/{kind}/{rows_of(kind, world.ours)[0].pk}/change/").status_code == 403
    assert change(client, world.ours, team_form(world)).status_code == 403


def test_lists_show_names_and_no_ids_made_of_digits(world: World, client: Client) -> None:
    client.post(f"{APP}/budget/add/", fields("budget", world.key))
    of_key = {"subject_kind": "key", "subject_id": world.key.pk.hex}
    for end in ("", ":every:30d", ":model:a/b"):
        Budget.objects.create(**of_key, budget_id=f"key:{world.key.pk.hex}{end}", amount=1)

    for kind in KINDS:
        page = client.get(f"{APP}/{kind}/").content.decode()
        assert "key key of ours" in page
        assert "team ours" in page
        assert f">{world.key.pk.hex}" not in page
    assert ">Budget, every 30d<" in page
    assert ">Budget, model a/b<" in page
