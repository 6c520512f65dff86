"""Public model ids over HTTP: routes, their targets, and the upstreams that are made for them."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from security_app.services.configuration import store
from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_bodies import LOCAL, body, priced
from upstreams_app.models import RouteTarget, Upstream, UpstreamModel


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
    monkeypatch.setenv("TEAM_VENDOR_API_KEY", VENDOR_SECRET)

    admin.ok("POST", "/model/new", body(api_key="os.environ/TEAM_VENDOR_API_KEY"))

    row = Upstream.objects.get()
    assert (row.credential_source, row.credential_reference) == ("reference", "env:TEAM_VENDOR_API_KEY")
    assert row.api_key_sealed == ""
    config = store.current.sections["upstreams"].value.upstreams[row.name]
    assert config.credential == VENDOR_SECRET


def test_an_address_of_the_environment_is_read_at_once(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_VENDOR_API_BASE", "http://127.0.0.1:77/x")

    shown = admin.ok("POST", "/model/new", body(api_base="os.environ/TEAM_VENDOR_API_BASE"))

    assert shown["litellm_params"]["api_base"] == "http://127.0.0.1:77/x"


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY_SECRET_KEY",
        "GATEWAY_OTHER_API_KEY",
        "DATABASE_URL",
        "GATEWAY_MASTER_KEY",
        "no such name",
        "UNSET_",
        "UNSET_API_KEY",
        "PATH",
        "HOST_TOKEN",
    ],
)
@pytest.mark.parametrize("field", ["api_key", "api_base"])
def test_what_is_not_meant_for_models_can_not_be_sent_away(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, name: str, field: str
) -> None:
    monkeypatch.setenv("HOST_TOKEN", "https://secret.example")
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
