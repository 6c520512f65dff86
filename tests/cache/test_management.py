"""Kept answers are forgotten by people who may, and the audit has it; policies are managed over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings as SettingsWrapper

from security_app.models import AuditEvent
from security_app.services.configuration import store
from tests.management.caller import Caller
from upstreams_app.models import CachePolicy, Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.services import cache_policies
from upstreams_app.services.answer_cache.cache import answer_cache
from upstreams_app.services.answer_cache.entries import Kept
from upstreams_app.services.answer_cache.keys import model_tag

pytestmark = pytest.mark.django_db(transaction=True)
LIST = "/admin/upstreams_app/cachepolicy/"


@pytest.fixture(autouse=True)
def kept_in_memory(settings: SettingsWrapper) -> Iterator[None]:
    """Two routes, and a cache of this process alone that holds two answers of one and one of the other."""
    settings.REDIS_URL = ""
    model = UpstreamModel.objects.create(
        upstream=Upstream.objects.create(name="lab", kind="demo"), name="small"
    )
    for name in ("fast", "team/long"):
        RouteTarget.objects.create(route=Route.objects.create(name=name), model=model)
    answer_cache.memory.flush()
    for key in (key_of("fast", 1), key_of("fast", 2), key_of("team/long", 1)):
        answer_cache.memory.put(key, Kept(b"fine", answer_cache.now(), "req_1", 3, 2, 70), 60)
    yield
    answer_cache.memory.flush()


def key_of(model_id: str, number: int) -> str:
    """A key as answers of a model id have it."""
    return model_tag(model_id) + f"{number:048x}"


def events() -> list[tuple[str, str]]:
    """What the audit has of the cache."""
    found = AuditEvent.objects.filter(object_type="cache").order_by("seq")
    return list(found.values_list("action", "object_id"))


def test_answers_are_forgotten_by_key_by_model_and_all(admin: Caller) -> None:
    one = {"keys": [key_of("fast", 1), key_of("fast", 9)]}

    assert admin.ok("POST", "/cache/delete", one) == {"status": "success", "deleted": 1}
    assert admin.ok("POST", "/cache/delete", {"model": "fast"})["deleted"] == 1
    assert admin.ok("POST", "/cache/delete", {"model": "fast"})["deleted"] == 0
    assert admin.ok("POST", "/cache/flushall") == {"status": "success", "deleted": 1}

    assert len(answer_cache.memory) == 0
    assert events() == [
        ("cache.answers_forgotten", "keys"),
        ("cache.model_forgotten", "fast"),
        ("cache.model_forgotten", "fast"),
        ("cache.flushed", "*"),
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "keys"),
        ({"keys": []}, "keys"),
        ({"keys": ["*"]}, "keys"),
        ({"keys": [key_of("fast", 1)], "model": "fast"}, "keys"),
        ({"keys": "all"}, "keys"),
        ({"model": ""}, "model"),
        ({"pattern": "*"}, "pattern"),
    ],
)
def test_what_says_nothing_deletes_nothing(admin: Caller, body: dict[str, Any], param: str) -> None:
    answer = admin.post("/cache/delete", body)

    assert (answer.status_code, json.loads(answer.content)["error"]["param"]) == (400, param)
    assert len(answer_cache.memory) == 3


def test_who_calls_models_forgets_nothing(admin: Caller) -> None:
    traffic = admin.with_key(admin.ok("POST", "/key/generate", {"key_alias": "traffic"})["key"])

    statuses = {
        traffic.request(method, path, body).status_code
        for method, path, body in (
            ("POST", "/cache/flushall", None),
            ("POST", "/cache/delete", {"model": "fast"}),
            ("GET", "/cache/ping", None),
            ("PUT", "/cache/policies/fast", {}),
        )
    }

    assert statuses == {403}
    assert (len(answer_cache.memory), events()) == (3, [])


def test_the_cache_tells_of_what_use_it_is(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_cache.counts, "_days", {})
    for result in ("miss", "hit", "shared", "hit"):
        answer_cache.note("fast", result)

    told = admin.ok("GET", "/cache/ping")

    assert (told["status"], told["cache_type"], told["entries"]) == ("healthy", "local", 3)
    assert told["models"] == [{"model": "fast", "hits": 3, "misses": 1, "hit_rate": 0.75}]


def test_a_cache_that_can_not_be_reached_says_so(admin: Caller, settings: SettingsWrapper) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    answers = [admin.get("/cache/ping"), admin.post("/cache/flushall")]

    assert {answer.status_code for answer in answers} == {503}


def test_the_admin_says_so_too(admin_client: Client, settings: SettingsWrapper) -> None:
    row = CachePolicy.objects.create(model="fast")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    body = {"action": "forget_answers", "_selected_action": [str(row.pk)], "confirmed": "yes"}

    page = admin_client.post(LIST, body, follow=True)

    assert (page.status_code, events()) == (200, [("cache.model_forgotten", "fast")])
    assert json.loads(AuditEvent.objects.get(object_type="cache").detail) == {
        "answers": 2,
        "is_complete": False,
    }
    assert "The cache can" in page.content.decode()


@pytest.mark.parametrize("is_one", [True, False])
def test_a_policy_that_is_deleted_in_the_admin_takes_its_answers_along(
    admin_client: Client, *, is_one: bool
) -> None:
    row = CachePolicy.objects.create(model="fast")
    selected = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}

    if is_one:
        admin_client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})
    else:
        admin_client.post(LIST, selected)

    assert not CachePolicy.objects.exists()
    assert len(answer_cache.memory) == 1
    assert events() == [("cache.model_forgotten", "fast")] * 2


@pytest.mark.parametrize("is_one", [True, False])
def test_in_the_admin_too_it_stays_while_they_can_not_be_forgotten(
    admin_client: Client, settings: SettingsWrapper, *, is_one: bool
) -> None:
    row = CachePolicy.objects.create(model="fast")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    selected = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}

    path, body = (f"{LIST}{row.pk}/delete/", {"post": "yes"}) if is_one else (LIST, selected)
    page = admin_client.post(path, body, follow=True).content.decode()

    assert CachePolicy.objects.count() == 1
    assert "The cache can" in page


def test_a_policy_is_made_changed_and_deleted_with_its_answers(admin: Caller) -> None:
    made = admin.ok("PUT", "/cache/policies/team/long", {"scope": "team", "ttl_s": 60})
    changed = admin.ok("PUT", "/cache/policies/team/long", {"includes_tools": True})

    assert made == {
        "model": "team/long",
        "is_enabled": True,
        "scope": "team",
        "ttl_s": 60,
        "is_on_request": False,
        "includes_tools": False,
        "embedding_model": "",
        "similarity": 0.95,
    }
    assert changed == {**made, "includes_tools": True} == admin.ok("GET", "/cache/policies/team/long")
    assert admin.ok("GET", "/cache/policies") == {"data": [changed]}
    rules = store.current.sections["upstreams"].value.models["team/long"].cache
    assert (rules.scope, rules.ttl_s, rules.includes_tools) == ("team", 60, True)

    gone = admin.ok("DELETE", "/cache/policies/team/long")

    assert gone == {"model": "team/long", "deleted": True, "answers": 1}
    assert admin.get("/cache/policies/team/long").status_code == 404
    actions = AuditEvent.objects.filter(object_type="upstreams_app.cachepolicy").order_by("seq")
    assert [event.action.rpartition(".")[2] for event in actions] == ["created", "updated", "deleted"]


def test_a_policy_stays_while_its_answers_can_not_be_forgotten(
    admin: Caller, settings: SettingsWrapper
) -> None:
    CachePolicy.objects.create(model="fast")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    refused = admin.request("DELETE", "/cache/policies/fast")

    assert (refused.status_code, CachePolicy.objects.count()) == (503, 1)
    assert events() == [("cache.model_forgotten", "fast")]


def test_answers_that_come_while_a_policy_is_deleted_go_too(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    CachePolicy.objects.create(model="fast")
    late = Kept(b"late", answer_cache.now(), "req_2", 3, 2, 70)
    monkeypatch.setattr(
        cache_policies,
        "refresh_after_commit",
        lambda: answer_cache.memory.put(key_of("fast", 3), late, 60),
    )

    assert admin.ok("DELETE", "/cache/policies/fast")["answers"] == 3

    assert answer_cache.memory.get(key_of("fast", 3)) is None


def test_questions_are_compared_once_a_policy_names_a_model_for_it(admin: Caller) -> None:
    lab = Upstream.objects.get(name="lab")
    UpstreamModel.objects.create(upstream=lab, name="vectors", mode="embedding")
    body = {"embedding_model": " lab/vectors ", "similarity": 0.9}

    made = admin.ok("PUT", "/cache/policies/fast", body)

    assert (made["embedding_model"], made["similarity"]) == ("lab/vectors", 0.9)
    rules = store.current.sections["upstreams"].value.models["fast"].cache
    assert (rules.embedding_model, rules.similarity) == ("lab/vectors", 0.9)
    off = admin.ok("PUT", "/cache/policies/fast", {"embedding_model": ""})
    assert (off["embedding_model"], off["similarity"]) == ("", 0.9)


@pytest.mark.parametrize(
    ("model", "body", "param"),
    [
        ("gone", {}, "model"),
        ("fast", {"scope": "world"}, "scope"),
        ("fast", {"ttl_s": 0}, "ttl_s"),
        ("fast", {"embedding_model": "gone"}, "embedding_model"),
        ("fast", {"embedding_model": "lab/small"}, "embedding_model"),
        ("fast", {"similarity": 0.49}, "similarity"),
        ("fast", {"similarity": 1.01}, "similarity"),
        ("fast", {"similarity": "near"}, "similarity"),
        ("fast", {"rainy": True}, "rainy"),
    ],
)
def test_a_policy_that_can_not_be_is_named(
    admin: Caller, model: str, body: dict[str, Any], param: str
) -> None:
    answer = admin.request("PUT", f"/cache/policies/{model}", body)

    assert (answer.status_code, json.loads(answer.content)["error"]["param"]) == (400, param)
    assert not CachePolicy.objects.exists()


def test_the_admin_deletes_answers_after_a_question(admin_client: Client) -> None:
    row = CachePolicy.objects.create(model="fast")
    body = {"action": "forget_answers", "_selected_action": [str(row.pk)]}

    asked = admin_client.post(LIST, body)
    assert b"Delete answers" in asked.content
    assert len(answer_cache.memory) == 3
    done = admin_client.post(LIST, {**body, "confirmed": "yes"}, follow=True)

    assert b"2 answers deleted." in done.content
    assert len(answer_cache.memory) == 1
    assert events() == [("cache.model_forgotten", "fast")]


def test_the_form_of_the_admin_names_what_can_not_measure_questions(admin_client: Client) -> None:
    body = {"model": "fast", "scope": "key", "ttl_s": "60", "embedding_model": "lab/small", "similarity": "2"}

    refused = admin_client.post(f"{LIST}add/", body)

    errors = refused.context["adminform"].form.errors
    assert set(errors) == {"embedding_model", "similarity"}
    UpstreamModel.objects.filter(name="small").update(mode="embedding")
    admin_client.post(f"{LIST}add/", {**body, "similarity": "0.9"})
    row = CachePolicy.objects.get()
    assert (row.embedding_model, row.similarity) == ("lab/small", 0.9)
