"""A policy is for one model id; nothing is kept without one, nor where callers bring their own credential."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from upstreams_app.cache_policy import CacheRules
from upstreams_app.models import CachePolicy, Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.registry import ModelEntry, build

pytestmark = pytest.mark.django_db


def upstream(name: str, **fields: Any) -> UpstreamModel:
    """A model behind an upstream of its own."""
    row = Upstream.objects.create(name=name, kind="vllm", base_url="http://127.0.0.1:9", **fields)
    return UpstreamModel.objects.create(upstream=row, name="m")


def entries() -> dict[str, ModelEntry]:
    """All model ids as a request finds them."""
    models: dict[str, ModelEntry] = build(None, 1, {}).value.models
    return models


def rules_of(model_id: str) -> CacheRules:
    """The rules of a model id that has some."""
    found = entries()[model_id].cache
    assert found is not None
    return found


def test_without_policies_no_model_has_rules() -> None:
    upstream("a")
    CachePolicy.objects.create(model="a/m", is_enabled=False)

    assert [entry.cache for entry in entries().values()] == [None]


def test_a_policy_of_ones_own_comes_before_that_of_all() -> None:
    upstream("a"), upstream("b")
    CachePolicy.objects.create(model="*", scope="team")
    CachePolicy.objects.create(model="a/m", scope="global", ttl_s=5)

    assert (rules_of("a/m").scope, rules_of("a/m").ttl_s) == ("global", 5)
    assert (rules_of("b/m").scope, set(rules_of("b/m").models)) == ("team", {"b/m"})


def test_what_is_behind_the_id_is_part_of_every_key() -> None:
    one, other = upstream("a"), upstream("b")
    route = Route.objects.create(name="fast")
    target = RouteTarget.objects.create(route=route, model=one)
    CachePolicy.objects.create(model="fast")
    seen = {rules_of("fast").served_by}

    Upstream.objects.filter(name="a").update(headers={"X-Model-Version": "2"})
    seen.add(rules_of("fast").served_by)
    Upstream.objects.filter(name="a").update(base_url="http://127.0.0.1:10")
    seen.add(rules_of("fast").served_by)
    RouteTarget.objects.create(route=route, model=other)
    seen.add(last := rules_of("fast").served_by)
    Route.objects.filter(name="fast").update(prompt_prepend=[{"role": "system", "content": "Be brief."}])
    seen.add(last := rules_of("fast").served_by)
    Route.objects.filter(name="fast").update(upstream_header_overrides={"x-region": "eu"})
    seen.add(last := rules_of("fast").served_by)
    assert len(seen) == 6

    target.weight, target.priority = 7, 2
    target.save()
    Upstream.objects.filter(name="b").update(is_in_maintenance=True)
    assert rules_of("fast").served_by == last


def test_other_names_of_a_route_have_its_rules() -> None:
    route = Route.objects.create(name="fast", aliases=["quick"])
    RouteTarget.objects.create(route=route, model=upstream("a"))
    CachePolicy.objects.create(model="fast")

    value = build(None, 1, {}).value

    assert value.aliases["quick"] is value.models["fast"]
    assert value.models["fast"].cache is not None


@pytest.mark.parametrize("model", ["a/m", "*"])
def test_what_callers_pay_with_their_own_credential_is_not_kept(model: str) -> None:
    upstream("a", credential_source="client")
    CachePolicy.objects.create(model=model)

    section = build(None, 1, {})

    assert section.value.models["a/m"].cache is None
    told = [] if model == "*" else ["cache policy a/m"]
    assert [item.object for item in section.diagnostics] == told


@pytest.mark.parametrize("column", ["body_templates", "upstream_header_templates"])
def test_what_a_route_makes_of_who_asks_is_not_kept(column: str) -> None:
    route = Route.objects.create(name="fast", **{column: {"x-team": "principal.team_id"}})
    RouteTarget.objects.create(route=route, model=upstream("a"))
    CachePolicy.objects.create(model="fast")

    section = build(None, 1, {})

    assert section.value.models["fast"].cache is None
    assert [item.object for item in section.diagnostics] == ["cache policy fast"]


def test_a_policy_for_nothing_is_told() -> None:
    CachePolicy.objects.create(model="gone")

    (diagnostic,) = build(None, 1, {}).diagnostics

    assert diagnostic.object == "cache policy gone"


def embedder(name: str, **fields: Any) -> UpstreamModel:
    """A model for embeddings behind an upstream of its own."""
    row = upstream(name, **fields)
    row.mode = "embedding"
    row.save()
    return row


def test_what_measures_questions_is_part_of_the_rules() -> None:
    upstream("a"), embedder("e")
    CachePolicy.objects.create(model="a/m", embedding_model="e/m", similarity=0.8)
    before = rules_of("a/m")

    Upstream.objects.filter(name="e").update(base_url="http://127.0.0.1:10")

    after = rules_of("a/m")
    assert (before.embedding_model, before.similarity) == ("e/m", 0.8)
    assert before.served_by == after.served_by
    assert before.embedded_by != after.embedded_by


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "nothing has this model id"),
        ("a/m", "this model is not for embeddings"),
        ("theirs/m", "callers bring their own credential for this model"),
    ],
)
def test_without_a_model_for_it_only_the_same_question_counts(name: str, reason: str) -> None:
    upstream("a"), embedder("theirs", credential_source="client")
    CachePolicy.objects.create(model="*", embedding_model=name)

    section = build(None, 1, {})

    rules = section.value.models["a/m"].cache
    assert rules is not None
    assert rules.embedding_model == ""
    (told,) = section.diagnostics
    assert (told.object, told.message) == ("cache policy *", f"{name}: {reason}; only the same is found")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"model": "gone"}, "model"),
        ({"model": "a/other"}, "model"),
        ({"model": "a/m", "ttl_s": 0}, "ttl_s"),
        ({"model": "a/m", "ttl_s": 10**8}, "ttl_s"),
        ({"model": "a/m", "scope": "world"}, "scope"),
        ({"model": "a/m", "similarity": 0.4}, "similarity"),
        ({"model": "a/m", "similarity": float("nan")}, "similarity"),
        ({"model": "a/m", "embedding_model": "a/m"}, "embedding_model"),
        ({"model": "gone", "embedding_model": "gone"}, "embedding_model"),
    ],
)
def test_a_policy_that_can_not_be_is_refused(fields: dict[str, Any], wrong: str) -> None:
    upstream("a")

    with pytest.raises(ValidationError) as caught:
        CachePolicy(**fields).full_clean()

    assert wrong in caught.value.message_dict


@pytest.mark.parametrize("model", ["*", "a/m", " fast "])
def test_a_policy_is_for_what_there_is(model: str) -> None:
    upstream("a")
    Route.objects.create(name="fast")
    row = CachePolicy(model=model)

    row.full_clean()

    assert row.model == model.strip()
