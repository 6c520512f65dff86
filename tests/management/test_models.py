"""Public model ids over HTTP: routes, their targets, and the upstreams that are made for them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from security_app.services.configuration import store
from tests.management.caller import VENDOR_SECRET, Caller
from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
from usage_app.entry import TokenUsage
from usage_app.models import Price
from usage_app.services.pricing import cost_nano

LOCAL = "http://127.0.0.1:9/v1"


def body(name: str = "chat", model: str = "openai/small", **params: Any) -> dict[str, Any]:
    """A body of POST /model/new."""
    return {"model_name": name, "litellm_params": {"model": model, "api_base": LOCAL, **params}}


def priced(name: str, **info: Any) -> dict[str, Any]:
    """The same with facts about the model."""
    return body(name) | {"model_info": info}


def test_a_new_model_can_be_called_by_its_name(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    entry = store.current.sections["upstreams"].value.models["chat"]
    assert [target.model for target in entry.targets] == ["small"]
    assert entry.targets[0].upstream.endpoints == (LOCAL,)
    assert entry.targets[0].upstream.credential == VENDOR_SECRET
    assert shown["litellm_params"]["model"] == "openai/small"
    assert shown["litellm_params"]["api_base"] == LOCAL
    assert shown["model_info"]["upstream"] == "local-9"
    assert shown["model_info"]["db_model"] is True


def test_the_same_name_again_adds_a_target(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body(weight=3, order=1))
    admin.ok("POST", "/model/new", body(model="openai/large", weight=1, order=2))

    entry = store.current.sections["upstreams"].value.models["chat"]
    assert [(target.model, target.weight, target.priority) for target in entry.targets] == [
        ("small", 3, 1),
        ("large", 1, 2),
    ]
    assert len(admin.ok("GET", "/model/info")["data"]) == 2


def test_the_same_target_twice_is_a_conflict(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body())

    assert admin.refused("POST", "/model/new", body())["status"] == 409
    assert RouteTarget.objects.count() == 1


def test_an_upstream_is_reused_by_address_and_credential(admin: Caller) -> None:
    first = admin.ok("POST", "/model/new", body("a", api_key=VENDOR_SECRET))
    same = admin.ok("POST", "/model/new", body("b", "openai/large", api_key=VENDOR_SECRET))
    other_key = admin.ok("POST", "/model/new", body("c", api_key="sk-another-vendor-secret-01"))
    no_key = admin.ok("POST", "/model/new", body("d"))

    names = [item["model_info"]["upstream"] for item in (first, same, other_key, no_key)]
    assert names == ["local-9", "local-9", "local-9-2", "local-9-3"]
    assert Upstream.objects.count() == 3


def test_a_credential_is_compared_without_being_readable(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    row = Upstream.objects.get()
    columns = " ".join(str(value) for value in Upstream.objects.values_list().get())
    assert VENDOR_SECRET not in columns
    assert len(row.credential_fingerprint) == 64
    assert row.get_api_key() == VENDOR_SECRET


def test_an_upstream_with_other_settings_is_not_reused(admin: Caller) -> None:
    plain = admin.ok("POST", "/model/new", body("a"))
    slow = admin.ok("POST", "/model/new", body("b", timeout=5, stream_timeout=2.5, max_parallel_requests=4))
    again = admin.ok("POST", "/model/new", body("c", "openai/large"))

    assert slow["model_info"]["upstream"] != plain["model_info"]["upstream"]
    assert again["model_info"]["upstream"] == plain["model_info"]["upstream"]
    row = Upstream.objects.get(name=slow["model_info"]["upstream"])
    assert (row.total_timeout_s, row.first_token_timeout_s, row.max_concurrency) == (5, 2.5, 4)


def test_an_organization_becomes_a_header(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body(organization="org-1", extra_headers={"X-Team": "red"}))

    assert Upstream.objects.get().headers == {"OpenAI-Organization": "org-1", "X-Team": "red"}


@pytest.mark.parametrize(
    ("model", "api_base", "kind", "name", "endpoint"),
    [
        ("gpt-4o", None, "openai", "openai", "https://api.openai.com/v1"),
        ("openai/gpt-4o", None, "openai", "openai", "https://api.openai.com/v1"),
        ("openai/gpt-4o", "https://api.openai.com/v1/", "openai", "openai", "https://api.openai.com/v1"),
        ("openai/x", "https://LLM.example.org:443/api/v2/", "openai-compatible", "llm.example.org", None),
        ("meta/llama", "http://10.0.0.7:8080", "openai-compatible", "10.0.0.7", "http://10.0.0.7:8080/v1"),
        ("ollama/llama3", None, "ollama", "ollama", "http://127.0.0.1:11434/v1"),
        (
            "ollama_chat/llama3",
            "http://localhost:11434",
            "ollama",
            "ollama-11434",
            "http://localhost:11434/v1",
        ),
        ("lm_studio/q", None, "lmstudio", "lmstudio", "http://127.0.0.1:1234/v1"),
        (
            "hosted_vllm/meta/llama",
            "http://127.0.0.1:8007/v1",
            "vllm",
            "vllm-8007",
            "http://127.0.0.1:8007/v1",
        ),
        ("nvidia/tensorrt/x", None, "tensorrt-llm", "tensorrt-llm", "http://127.0.0.1:8355/v1"),
        ("groq/llama", None, "openai-compatible", "groq", "https://api.groq.com/openai/v1"),
        ("openrouter/a/b", None, "openai-compatible", "openrouter", "https://openrouter.ai/api/v1"),
        ("perplexity/sonar", None, "openai-compatible", "perplexity", "https://api.perplexity.ai"),
        ("fireworks_ai/x", None, "openai-compatible", "fireworks", "https://api.fireworks.ai/inference/v1"),
        ("openai_like/x", "http://[::1]:81", "openai-compatible", "local-81", "http://[::1]:81/v1"),
    ],
)
def test_prefixes_lead_to_vendors(
    admin: Caller, model: str, api_base: str | None, kind: str, name: str, endpoint: str | None
) -> None:
    params = {"model": model} | ({} if api_base is None else {"api_base": api_base})
    price = {"input_cost_per_token": 0, "output_cost_per_token": 0}

    admin.ok("POST", "/model/new", {"model_name": "m", "litellm_params": params, "model_info": price})

    row = Upstream.objects.get()
    assert (row.kind, row.name) == (kind, name)
    assert row.base_url + row.path_prefix == (endpoint or "https://llm.example.org/api/v2")


def test_what_model_info_shows_leads_to_the_same_upstream_again(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body("a", "hosted_vllm/meta/llama"))["litellm_params"]

    again = admin.ok(
        "POST",
        "/model/new",
        {"model_name": "b", "litellm_params": {"model": shown["model"], "api_base": shown["api_base"]}},
    )

    assert again["litellm_params"] == shown
    assert Upstream.objects.count() == UpstreamModel.objects.count() == 1


def test_a_key_of_the_environment_is_kept_as_a_reference(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_VENDOR_KEY", VENDOR_SECRET)

    admin.ok("POST", "/model/new", body(api_key="os.environ/TEAM_VENDOR_KEY"))

    row = Upstream.objects.get()
    assert (row.credential_source, row.credential_reference) == ("reference", "env:TEAM_VENDOR_KEY")
    assert row.api_key_sealed == ""
    config = store.current.sections["upstreams"].value.upstreams[row.name]
    assert config.credential == VENDOR_SECRET


def test_an_address_of_the_environment_is_read_at_once(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_VENDOR_BASE", "http://127.0.0.1:77/x")

    shown = admin.ok("POST", "/model/new", body(api_base="os.environ/TEAM_VENDOR_BASE"))

    assert shown["litellm_params"]["api_base"] == "http://127.0.0.1:77/x"


@pytest.mark.parametrize(
    "name", ["GATEWAY_SECRET_KEY", "DATABASE_URL", "GATEWAY_MASTER_KEY", "no such name", "UNSET_"]
)
@pytest.mark.parametrize("field", ["api_key", "api_base"])
def test_the_gateways_own_secrets_can_not_be_sent_away(admin: Caller, name: str, field: str) -> None:
    error = admin.refused("POST", "/model/new", body(**{field: f"os.environ/{name}"}))

    assert (error["status"], error["param"]) == (400, f"litellm_params.{field}")
    assert not Upstream.objects.exists()


def test_a_vendors_usual_variable_is_used_only_for_the_vendors_own_address(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", VENDOR_SECRET)
    free = {"input_cost_per_token": 0, "output_cost_per_token": 0}

    admin.ok(
        "POST", "/model/new", {"model_name": "a", "litellm_params": {"model": "groq/x"}, "model_info": free}
    )
    admin.ok("POST", "/model/new", body("b", "groq/x") | {"model_info": free})

    sources = dict(Upstream.objects.values_list("name", "credential_reference"))
    assert sources == {"groq": "env:GROQ_API_KEY", "groq-9": ""}


def test_a_price_is_exact_however_it_is_written(admin: Caller) -> None:
    for name, text in (("number", "0.00000015"), ("exponent", "1.5e-7"), ("text", '"0.00000015"')):
        raw = (
            f'{{"model_name": "{name}", '
            f'"litellm_params": {{"model": "openai/{name}", "api_base": "{LOCAL}"}}, '
            f'"model_info": {{"input_cost_per_token": {text}, "output_cost_per_token": 0.0000006}}}}'
        )
        assert admin.post("/model/new", raw=raw).status_code == 200

    for price in Price.objects.all():
        assert (price.input, price.output) == (Decimal("0.15"), Decimal("0.6"))
    shown = json.loads(admin.get("/model/info").content, parse_float=Decimal)["data"]
    assert {item["model_info"]["input_cost_per_token"] for item in shown} == {Decimal("0.00000015")}
    card = store.current.sections["usage"].value.price("local-9/number", 4e9)
    assert cost_nano(TokenUsage(input=1_000_000, output=1_000_000), card) == 750_000_000


def test_every_rate_finds_its_column(admin: Caller) -> None:
    admin.ok(
        "POST",
        "/model/new",
        priced(
            "m",
            input_cost_per_token="0.000002",
            output_cost_per_token="0.000008",
            cache_read_input_token_cost="0.0000005",
            cache_creation_input_token_cost="0.000003",
            output_cost_per_reasoning_token="0.000009",
            input_cost_per_audio_token="0.00001",
            output_cost_per_audio_token="0.00002",
            input_cost_per_request="0.01",
        ),
    )

    price = Price.objects.get()
    assert [price.input, price.output, price.cached_input, price.cache_write] == [2, 8, Decimal("0.5"), 3]
    assert [price.reasoning, price.input_audio, price.output_audio] == [9, 10, 20]
    assert price.per_request == Decimal("0.01")


def test_an_unpriced_local_model_stays_unpriced_and_the_demo_is_free(admin: Caller) -> None:
    local = admin.ok("POST", "/model/new", body("a", "ollama/llama3"))
    demo = admin.ok("POST", "/model/new", {"model_name": "b", "litellm_params": {"model": "demo/chat"}})

    assert local["model_info"]["input_cost_per_token"] is None
    assert demo["model_info"]["input_cost_per_token"] == demo["model_info"]["output_cost_per_token"] == 0


def test_a_known_vendors_price_comes_from_the_catalogue(admin: Caller) -> None:
    params = {"model": "openai/gpt-4o", "api_key": VENDOR_SECRET}

    shown = admin.ok("POST", "/model/new", {"model_name": "a", "litellm_params": params})

    assert shown["model_info"]["input_cost_per_token"] > 0
    assert Price.objects.get(model="openai/gpt-4o").source == Price.Source.CATALOGUE


def test_facts_are_kept_and_an_embedding_needs_no_output_price(admin: Caller) -> None:
    shown = admin.ok(
        "POST",
        "/model/new",
        priced("m", mode="embedding", max_input_tokens=8191, max_tokens=10, input_cost_per_token="0.1e-6"),
    )

    info = shown["model_info"]
    assert (info["mode"], info["max_input_tokens"], info["max_output_tokens"]) == ("embedding", 8191, 10)
    assert info["output_cost_per_token"] == 0


def test_an_update_changes_weight_price_and_name_in_place(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body("old"))
    model_id = shown["model_info"]["id"]

    changed = admin.ok(
        "POST",
        "/model/update",
        {
            "model_name": "new",
            "litellm_params": {"weight": 7, "order": 2},
            "model_info": {"id": model_id, "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6},
        },
    )

    assert changed["model_info"]["id"] == model_id
    assert (changed["model_name"], changed["litellm_params"]["weight"]) == ("new", 7)
    assert changed["model_info"]["output_cost_per_token"] == 2e-6
    assert list(Route.objects.values_list("name", flat=True)) == ["new"]
    assert Upstream.objects.count() == 1


def test_a_new_credential_changes_an_upstream_that_nobody_shares(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    path = f"/model/{shown['model_id']}/update"
    admin.ok("PATCH", path, {"litellm_params": {"api_key": "sk-rotated-vendor-secret-1"}})

    assert Upstream.objects.get().get_api_key() == "sk-rotated-vendor-secret-1"
    assert UpstreamModel.objects.count() == 1


def test_a_new_credential_moves_a_model_away_from_an_upstream_that_others_use(admin: Caller) -> None:
    rates = {"input_cost_per_token": "0.000001", "output_cost_per_token": "0.000002"}
    shown = admin.ok("POST", "/model/new", body("a", api_key=VENDOR_SECRET) | {"model_info": rates})
    admin.ok("POST", "/model/new", body("b", "openai/large", api_key=VENDOR_SECRET))

    path = f"/model/{shown['model_id']}/update"
    moved = admin.ok("PATCH", path, {"litellm_params": {"api_key": "sk-rotated-vendor-secret-1"}})

    assert moved["model_info"]["upstream"] == "local-9-2"
    assert Upstream.objects.get(name="local-9").get_api_key() == VENDOR_SECRET
    # What an administrator said it costs goes along.
    assert moved["model_info"]["input_cost_per_token"] == 1e-6


def test_a_stored_credential_does_not_follow_to_another_host(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    path = f"/model/{shown['model_id']}/update"
    error = admin.refused("PATCH", path, {"litellm_params": {"api_base": "http://127.0.0.1:66/v1"}})

    assert (error["status"], error["param"]) == (400, "litellm_params.api_key")
    params = {"api_base": "http://127.0.0.1:66/v1", "api_key": "sk-other-vendor-secret-001"}
    assert admin.ok("PATCH", path, {"litellm_params": params})["litellm_params"]["api_base"].endswith(
        ":66/v1"
    )


def test_a_reference_does_not_follow_to_another_host_either(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_VENDOR_KEY", VENDOR_SECRET)
    shown = admin.ok("POST", "/model/new", body(api_key="os.environ/TEAM_VENDOR_KEY"))

    path = f"/model/{shown['model_id']}/update"
    error = admin.refused("PATCH", path, {"litellm_params": {"api_base": "http://127.0.0.1:66/v1"}})

    assert error["param"] == "litellm_params.api_key"


def test_the_clients_own_credential_stays_the_clients(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body())
    admin.ok("PATCH", "/upstreams/local-9", {"credential": "client"})

    admin.ok("PATCH", f"/model/{shown['model_id']}/update", {"litellm_params": {"model": "openai/large"}})

    assert Upstream.objects.get().credential_source == "client"


def test_an_update_to_another_model_keeps_address_and_credential(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    changed = admin.ok(
        "PATCH", f"/model/{shown['model_id']}/update", {"litellm_params": {"model": "openai/large"}}
    )

    assert changed["litellm_params"]["model"] == "openai/large"
    assert changed["litellm_params"]["api_base"] == LOCAL
    assert Upstream.objects.get().get_api_key() == VENDOR_SECRET


def test_a_route_goes_with_its_last_target_and_the_upstreams_model_stays(admin: Caller) -> None:
    first = admin.ok("POST", "/model/new", body())
    second = admin.ok("POST", "/model/new", body(model="openai/large"))

    admin.ok("POST", "/model/delete", {"id": first["model_id"]})
    assert list(Route.objects.values_list("name", flat=True)) == ["chat"]
    admin.ok("POST", "/model/delete", {"id": second["model_info"]["id"]})

    assert not Route.objects.exists()
    assert UpstreamModel.objects.count() == 2
    assert "chat" not in store.current.sections["upstreams"].value.models
    assert admin.refused("POST", "/model/delete", {"id": first["model_id"]})["status"] == 404


def test_one_model_is_shown_by_its_id(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body())
    admin.ok("POST", "/model/new", body("other", "openai/large"))

    for path in ("/model/info", "/v1/model/info", "/v1/model/info/"):
        assert admin.ok("GET", f"{path}?litellm_model_id={shown['model_id']}")["data"] == [shown]
    assert admin.refused("GET", "/model/info?litellm_model_id=dep_nothing")["status"] == 404


def test_an_id_of_ones_own_is_taken_if_it_is_a_uuid(admin: Caller) -> None:
    own = "0193f1f0-0000-7000-8000-000000000001"

    shown = admin.ok("POST", "/model/new", priced("m", id=own))

    assert shown["model_id"] == "dep_" + own.replace("-", "")
    assert admin.refused("POST", "/model/new", priced("n", id=own))["status"] == 409
    assert admin.refused("POST", "/model/new", priced("n", id="mine"))["param"] == "model_info.id"


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(admin: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.ok("GET", "/model/info")
        return len(captured)

    admin.ok("POST", "/model/new", body("a"))
    few = queries()
    for number in range(6):
        admin.ok("POST", "/model/new", body(f"m{number}", f"openai/m{number}", timeout=number + 1))

    assert queries() == few == 1


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model_name": ""}, "model_name"),
        ({"model_name": "a*"}, "model_name"),
        ({"model_name": " a"}, "model_name"),
        ({"model_name": None}, "model_name"),
        ({"surprise": 1}, "surprise"),
        ({"litellm_params": {"api_base": LOCAL}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/x", "rpm": 5}}, "litellm_params.rpm"),
        ({"litellm_params": {"model": "azure/gpt-4o"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "anthropic/claude"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "vertex_ai/gemini", "api_base": LOCAL}}, "litellm_params.model"),
        ({"litellm_params": {"model": "bedrock/x"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "unknown/x"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/*"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai_like/x"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "demo/chat", "api_base": LOCAL}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "ftp://x"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "http://u:p@x"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "http://x:99999"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "http://x/../y"}}, "litellm_params.api_base"),
        (
            {"litellm_params": {"model": "openai/x", "api_base": "http://169.254.169.254"}},
            "litellm_params.api_base",
        ),
        (
            {"litellm_params": {"model": "openai/x", "api_base": LOCAL, "api_key": "a b\n"}},
            "litellm_params.api_key",
        ),
        ({"litellm_params": {"model": "openai/x", "weight": -1}}, "litellm_params.weight"),
        ({"litellm_params": {"model": "openai/x", "timeout": "5"}}, "litellm_params.timeout"),
        (
            {
                "litellm_params": {
                    "model": "openai/x",
                    "api_base": LOCAL,
                    "extra_headers": {"Authorization": "x"},
                }
            },
            "litellm_params.extra_headers",
        ),
        ({"model_info": {"mode": "image_generation"}}, "model_info.mode"),
        ({"model_info": {"input_cost_per_token": -1}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": "cheap"}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": "NaN"}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": True}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": 1}}, "model_info.output_cost_per_token"),
        ({"model_info": {"max_tokens": 1, "max_output_tokens": 2}}, "model_info.max_tokens"),
        ({"model_info": {"max_input_tokens": 0}}, "model_info.max_input_tokens"),
        ({"model_info": {"supports_vision": True}}, "model_info.supports_vision"),
    ],
)
def test_a_wrong_body_names_its_field_and_leaves_nothing_behind(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    error = admin.refused("POST", "/model/new", body() | change)

    assert (error["status"], error["param"]) == (400, param)
    assert not Upstream.objects.exists()
    assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/model/update", {"model_name": "x"}, 400),
        ("POST", "/model/update", {"id": "dep_00000000000000000000000000000000"}, 404),
        ("PATCH", "/model/nothing/update", {}, 404),
        ("POST", "/model/delete", {}, 400),
        ("POST", "/model/delete", {"id": "nothing"}, 404),
        ("GET", "/model/info?id=1", None, 400),
    ],
)
def test_a_wrong_question_is_refused(admin: Caller, method: str, path: str, sent: Any, status: int) -> None:
    assert admin.refused(method, path, sent)["status"] == status


def test_no_answer_holds_a_vendors_credential(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_VENDOR_KEY", VENDOR_SECRET)
    shown = admin.ok("POST", "/model/new", body("a", api_key=VENDOR_SECRET))
    admin.ok("POST", "/model/new", body("b", api_key="os.environ/TEAM_VENDOR_KEY"))
    admin.ok(
        "PATCH", f"/model/{shown['model_id']}/update", {"litellm_params": {"api_key": VENDOR_SECRET + "2"}}
    )
    admin.refused("POST", "/model/new", body("a", api_key=VENDOR_SECRET + "2"))
    admin.refused("POST", "/model/new", body("c", api_key=VENDOR_SECRET + "\n"))
    admin.refused("POST", "/model/new", body("c", api_base=f"http://{VENDOR_SECRET}@host"))
    admin.refused("POST", "/model/new", raw=f'{{"litellm_params": {{"api_key": "{VENDOR_SECRET}')
    admin.ok("GET", "/model/info")
    admin.ok("GET", "/upstreams")

    for answer in admin.answers:
        assert VENDOR_SECRET.encode() not in answer
        assert settings.GATEWAY_MASTER_KEY.encode() not in answer
