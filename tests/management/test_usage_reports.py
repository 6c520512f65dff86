"""Reports of usage over HTTP: figures, shapes, who may see whose, and what is refused by name."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from gateway_project.core.ids import public_id
from security_app.models import ApiKey, GatewayUser, Membership, Team
from tests.management.caller import Caller
from tests.usage.entries import ALICE, BOB, id_at, make_entry, make_price, store
from usage_app.services.rollups import roll_up, sum_up_days

DAY = datetime(2026, 10, 20, 22, 30, tzinfo=UTC)
RANGE = "start_date=2026-10-20&end_date=2026-10-22"
ENTITIES = ("user", "team", "organization", "customer", "end_user", "tag", "agent", "model", "key")


def use(*fields: dict[str, Any]) -> None:
    store(*(make_entry(id=id_at(DAY, number + 1), **one) for number, one in enumerate(fields)))
    roll_up()
    sum_up_days(at_once=True)


def used_by(key: str) -> UUID:
    """The id of a key that was just made."""
    return ApiKey.objects.get(name=key).pk


@pytest.mark.parametrize("entity", ENTITIES)
def test_activity_has_a_days_metrics_and_who_made_them(admin: Caller, entity: str) -> None:
    team = Team.objects.create(name="red")
    who = {
        "user_id": "ann", "team_id": team.pk, "organization_id": UUID(int=5), "end_user": "zoë",
        "agent": "helper", "tags": ("blue",),
    }  # fmt: skip
    use(who, {**who, "status": 502}, {**who, "model": "acme/big"})

    found = admin.ok("GET", f"/{entity}/daily/activity?{RANGE}&page_size=2")

    names = {
        "user": "ann", "team": public_id("team", team.pk), "organization": public_id("org", UUID(int=5)),
        "customer": "zoë", "end_user": "zoë", "tag": "blue", "agent": "helper",
        "model": "acme/small", "key": public_id("key", ALICE),
    }  # fmt: skip
    assert [day["date"] for day in found["results"]] == ["2026-10-22", "2026-10-21"]
    assert (found["metadata"]["total_pages"], found["metadata"]["has_more"]) == (2, True)
    whole = admin.ok("GET", f"/{entity}/daily/activity?{RANGE}")["metadata"]
    one_page = {"page_size": whole["page_size"], "total_pages": 1, "has_more": False}
    assert whole == found["metadata"] | one_page
    (day,) = admin.ok("GET", f"/{entity}/daily/activity?{RANGE}&page_size=2&page=2")["results"]
    entry = day["breakdown"]["entities"][names[entity]]
    count = 2 if entity == "model" else 3
    assert (entry["metrics"]["api_requests"], entry["metrics"]["failed_requests"]) == (count, 1)
    assert entry["metadata"] == ({"alias": "red"} if entity == "team" else entry["metadata"])
    if entity == "tag":
        assert day["metrics"] is None
        assert found["metadata"]["total_spend"] is None
    else:
        assert day["metrics"]["api_requests"] == found["metadata"]["total_api_requests"] == 3
        assert day["metrics"]["spend"] == found["metadata"]["total_spend"] == 0.015
        assert day["breakdown"]["models"]["acme/big"]["metrics"]["total_tokens"] == 1200


def test_one_tag_has_totals(admin: Caller) -> None:
    use({"tags": ("a", "b")}, {"tags": ("a",)}, {})

    found = admin.ok("GET", f"/tag/daily/activity?{RANGE}&tags=a")

    assert found["metadata"]["total_api_requests"] == 2
    assert found["results"][-1]["metrics"]["spend"] == 0.01


def test_days_are_those_of_the_time_zone(admin: Caller) -> None:
    use({})

    found = admin.ok("GET", f"/team/daily/activity?{RANGE}&time_zone=Europe/Berlin")

    counts = {day["date"]: day["metrics"]["api_requests"] for day in found["results"]}
    assert counts == {"2026-10-20": 0, "2026-10-21": 1, "2026-10-22": 0}


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/team/daily/activity", "start_date"),
        ("/team/daily/activity?start_date=2026-10-20", "end_date"),
        ("/team/daily/activity?start_date=2026-10-20&end_date=2026-10-19", "end_date"),
        ("/team/daily/activity?start_date=20.10.2026&end_date=2026-10-19", "start_date"),
        ("/team/daily/activity?start_date=0001-01-01&end_date=2026-10-19", "start_date"),
        ("/team/daily/activity?start_date=2020-01-01&end_date=2026-10-19", "end_date"),
        (f"/team/daily/activity?{RANGE}&team_ids=red", "team_ids"),
        (f"/team/daily/activity?{RANGE}&time_zone=Mars", "time_zone"),
        (f"/team/daily/activity?{RANGE}&page=0", "page"),
        (f"/team/daily/activity?{RANGE}&colour=red", "colour"),
        (f"/customer/daily/activity?{RANGE}&time_zone=Europe/Berlin", "time_zone"),
        (f"/team/daily/activity/export?{RANGE}&format=xml", "format"),
        (f"/tag/daily/activity/export?{RANGE}&time_zone=Asia/Tokyo", "time_zone"),
        (f"/global/spend/report?{RANGE}&group_by=colour", "group_by"),
        ("/global/spend/report?end_date=2026-10-20", "start_date"),
        ("/global/activity", "start_date"),
        ("/spend/logs?summarize=true", "start_date"),
        ("/spend/logs?summarize=maybe", "summarize"),
    ],
)
def test_what_is_missing_or_wrong_is_named(admin: Caller, path: str, param: str) -> None:
    error = admin.refused("GET", path)

    assert (error["status"], error["param"]) == (400, param)


def exported(caller: Caller, path: str) -> str:
    response: Any = Client(headers={"authorization": f"Bearer {caller.key}"}).get(path)
    assert response.status_code == 200
    assert response.headers["content-disposition"].startswith("attachment")

    async def read() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])

    return asyncio.run(read()).decode()


def test_an_export_has_a_row_for_each_day_and_value_and_no_formulas(admin: Caller) -> None:
    use({"user_id": "=cmd|'/c calc'!A1"}, {"user_id": "ann", "cost_nano": 1})

    text = exported(admin, f"/user/daily/activity/export?{RANGE}&export_type=daily_with_keys")
    rows = list(csv.DictReader(io.StringIO(text)))

    assert [(row["date"], row["user"], row["spend"]) for row in rows] == [
        ("2026-10-20", "'=cmd|'/c calc'!A1", "0.005000000"),
        ("2026-10-20", "ann", "0.000000001"),
    ]
    assert {row["key"] for row in rows} == {public_id("key", ALICE)}
    found = json.loads(exported(admin, f"/model/daily/activity/export?{RANGE}&format=json"))
    assert [(row["model"], row["api_requests"], row["spend"]) for row in found] == [
        ("acme/small", 2, "0.005000001")
    ]
    nothing = "start_date=2026-01-01&end_date=2026-01-03&format=json"
    assert json.loads(exported(admin, f"/model/daily/activity/export?{nothing}")) == []


def test_spend_is_reported_by_day_and_group(admin: Caller) -> None:
    team = Team.objects.create(name="red")
    use({"team_id": team.pk}, {"team_id": team.pk, "key_id": BOB, "model": "acme/big"}, {"tags": ("t",)})

    teams = admin.ok("GET", f"/global/spend/report?{RANGE}")
    keys = admin.ok("GET", f"/global/spend/report?{RANGE}&group_by=api_key&team_id={team.pk.hex}")
    tags = admin.ok("GET", f"/global/spend/report?{RANGE}&group_by=tag")

    assert [day["group_by_day"] for day in teams] == ["2026-10-20"]
    by_name = {one["team_name"]: one for one in teams[0]["teams"]}
    assert by_name["red"]["total_spend"] == 0.01
    assert [part["model"] for part in by_name["red"]["metadata"]] == ["acme/big", "acme/small"]
    assert {one["api_key"]: one["total_cost"] for one in keys} == {
        public_id("key", ALICE): 0.005, public_id("key", BOB): 0.005,
    }  # fmt: skip
    assert tags[0]["tags"][0]["tag"] == "t"
    activity = admin.ok("GET", f"/global/activity?{RANGE}")
    assert (activity["sum_api_requests"], activity["sum_total_tokens"]) == (3, 3600)
    (day,) = admin.ok("GET", f"/spend/logs?{RANGE}&summarize=true")
    assert (day["startTime"], day["spend"], day["models"]["acme/big"]) == ("2026-10-20", 0.015, 0.005)


def test_a_key_sees_its_own_usage_only(admin: Caller) -> None:
    key = admin.with_key(admin.ok("POST", "/key/generate", {"key_alias": "mine"})["key"])
    mine = used_by("mine")
    use({"key_id": mine, "tags": ("a",), "end_user": "e"}, {"key_id": BOB, "tags": ("a",), "end_user": "e"})

    for entity in ENTITIES:
        found = key.ok("GET", f"/{entity}/daily/activity?{RANGE}&{'tags=a' if entity == 'tag' else ''}")
        assert found["metadata"]["total_api_requests"] == 1
    assert list(key.ok("GET", f"/key/daily/activity?{RANGE}")["results"][-1]["breakdown"]["entities"]) == [
        public_id("key", mine)
    ]
    assert [row["key_id"] for row in key.ok("GET", "/spend/logs")["data"]] == [public_id("key", mine)]
    assert key.ok("GET", f"/spend/logs?summarize=true&{RANGE}")[0]["spend"] == 0.005
    assert len(list(csv.reader(io.StringIO(exported(key, f"/key/daily/activity/export?{RANGE}"))))) == 2
    for path in (
        f"/key/daily/activity?{RANGE}&api_keys={public_id('key', BOB)}",
        f"/team/daily/activity/export?{RANGE}&api_key={public_id('key', BOB)}",
        f"/spend/logs?api_key={public_id('key', BOB)}",
        f"/spend/logs?summarize=true&{RANGE}&api_key={public_id('key', BOB)}",
    ):
        assert key.refused("GET", path)["status"] == 403


def test_who_administers_a_team_sees_the_team(admin: Caller) -> None:
    red, blue = Team.objects.create(name="red"), Team.objects.create(name="blue")
    ann = GatewayUser.objects.create(user_id="ann")
    Membership.objects.create(user=ann, team=red, role=Membership.Role.ADMIN)
    Membership.objects.create(user=ann, team=blue)
    key = admin.with_key(admin.ok("POST", "/key/generate", {"key_alias": "anns", "user_id": "ann"})["key"])
    use({"team_id": red.pk, "key_id": BOB}, {"team_id": blue.pk, "key_id": BOB}, {})

    found = key.ok("GET", f"/team/daily/activity?{RANGE}")

    assert list(found["results"][-1]["breakdown"]["entities"]) == [public_id("team", red.pk)]
    assert [row["team_id"] for row in key.ok("GET", "/spend/logs")["data"]] == [public_id("team", red.pk)]
    for path in (f"/team/daily/activity?{RANGE}&team_ids=", "/spend/logs?team_id="):
        assert key.refused("GET", path + public_id("team", blue.pk))["status"] == 403


def test_a_key_of_a_team_shows_no_other_team_of_its_user(admin: Caller) -> None:
    red, blue = Team.objects.create(name="red"), Team.objects.create(name="blue")
    ann = GatewayUser.objects.create(user_id="ann")
    Membership.objects.create(user=ann, team=red, role=Membership.Role.ADMIN)
    Membership.objects.create(user=ann, team=blue)
    # As an admin of the blue team can make it: of the team, for one of its members.
    body = {"key_alias": "blues", "user_id": "ann", "team_id": public_id("team", blue.pk)}
    key = admin.with_key(admin.ok("POST", "/key/generate", body)["key"])
    use({"team_id": red.pk, "key_id": BOB}, {"team_id": blue.pk, "key_id": used_by("blues")})

    found = key.ok("GET", f"/team/daily/activity?{RANGE}")

    assert list(found["results"][-1]["breakdown"]["entities"]) == [public_id("team", blue.pk)]
    path = f"/team/daily/activity?{RANGE}&team_ids={public_id('team', red.pk)}"
    assert key.ok("GET", path)["metadata"]["total_api_requests"] == 0


def test_a_bill_is_compared_day_by_day(admin: Caller) -> None:
    use({"cost_nano": 900_000_000}, {"upstream": "other"})
    body = {
        "provider": "acme", "start_date": "2026-10-20", "end_date": "2026-10-21", "threshold": 0.95,
        "bill": [{"date": "2026-10-20", "cost": 0.6}, {"date": "2026-10-20", "cost": 0.4}],
    }  # fmt: skip

    found = admin.ok("POST", "/spend/capture_rate", body)

    first, second = found["days"]
    assert (first["captured_spend"], first["provider_spend"], first["capture_rate"]) == (0.9, 1, 0.9)
    assert (first["is_below_threshold"], second["capture_rate"]) == (True, None)
    assert found["capture_rate"] == 0.9
    for wrong in (
        {"date": "2026-10-22", "cost": 1},
        {"date": "2026-10-20", "cost": -1},
        {"date": "x", "cost": 1},
    ):
        assert admin.refused("POST", "/spend/capture_rate", {**body, "bill": [wrong]})["status"] == 400


def test_tokens_are_priced_for_those_who_may_use_the_model(admin: Caller) -> None:
    make_price()
    made = admin.ok("POST", "/key/generate", {"key_alias": "other", "models": ["acme/big"]})
    body = {"model": "acme/small", "prompt_tokens": 1000, "completion_tokens": 100}

    assert admin.ok("POST", "/spend/calculate", body) == {"cost": 0.0045}
    assert admin.refused("POST", "/spend/calculate", {"model": "acme/none"})["code"] == "model_unpriced"
    assert admin.with_key(made["key"]).refused("POST", "/spend/calculate", body)["status"] == 403


def test_an_export_of_a_long_range_is_read_day_by_day(admin: Caller) -> None:
    store(*(make_entry(id=id_at(DAY + timedelta(days=number))) for number in range(40)))
    while roll_up():
        pass

    text = exported(admin, "/model/daily/activity/export?start_date=2026-10-20&end_date=2026-11-30")

    assert [line.split(",")[0] for line in text.splitlines()[1:]] == [
        f"{DAY + timedelta(days=number):%Y-%m-%d}" for number in range(40)
    ]
