"""The page with recipes for clients, whose files are read; tests/doors runs what can be run of them."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.client_recipes import RECIPES, Recipe, as_markdown, filled
from tests.admin.rows import permit
from upstreams_app.models import Upstream, UpstreamModel

PAGE = "/admin/clients/"
ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guides" / "chat-uis.md"
BASE_URL = "https://llm.example:8443/v1"
WANTED = {
    "Open WebUI",
    "LibreChat",
    "LobeChat",
    "AnythingLLM",
    "Jan",
    "Cherry Studio",
    "Continue",
    "Cline",
    "OpenAI for Python",
    "OpenAI for Node",
    "LangChain",
    "LlamaIndex",
    "Vercel AI SDK",
    "curl",
    "Claude Code",
}


def _block(recipe_id: str) -> str:
    recipe = next(one for one in filled(base_url=BASE_URL, model="acme/small") if one.id == recipe_id)
    return recipe.blocks[0].text


@pytest.fixture
def models(db: None) -> None:
    demo = Upstream.objects.create(name="demo", kind="demo", base_url="", path_prefix="")
    vendor = Upstream.objects.create(name="acme", kind="vllm", base_url="http://127.0.0.1:8001")
    UpstreamModel.objects.create(upstream=demo, name="chat")
    UpstreamModel.objects.create(upstream=vendor, name="small")
    UpstreamModel.objects.create(upstream=vendor, name="vectors", mode="embedding")


def test_there_is_a_recipe_for_each_client() -> None:
    assert {recipe.title for recipe in RECIPES} == WANTED
    assert len({recipe.id for recipe in RECIPES}) == len(RECIPES)


def test_the_page_has_every_recipe_with_an_anchor(admin_client: Client, models: None) -> None:
    page = admin_client.get(PAGE).content.decode()

    for recipe in RECIPES:
        assert f'href="#{recipe.id}"' in page
        assert f'id="{recipe.id}"' in page
        assert page.count(f'data-copy="{recipe.id}-') == len(recipe.blocks)
    assert "__" not in re.sub(r"<[^>]*>", "", page)


def test_the_page_has_the_address_that_was_asked_and_a_real_model(
    admin_client: Client, models: None, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["llm.example"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    page = admin_client.get(PAGE, headers={"host": "llm.example:8443", "x-forwarded-proto": "https"})

    assert page.context["base_url"] == BASE_URL
    assert page.context["model"] == "acme/small"
    assert f"OPENAI_API_BASE_URL={BASE_URL}" in page.content.decode()


def test_another_model_can_be_chosen_but_none_invented(admin_client: Client, models: None) -> None:
    assert admin_client.get(PAGE, {"model": "demo/chat"}).context["model"] == "demo/chat"
    assert admin_client.get(PAGE, {"model": "<script>"}).context["model"] == "acme/small"
    assert "acme/vectors" not in admin_client.get(PAGE).content.decode()


def test_without_any_model_the_page_still_opens(admin_client: Client) -> None:
    assert admin_client.get(PAGE).context["model"] == "MODEL"


def test_who_may_see_keys_may_see_the_page(charlie: User, charlies_client: Client) -> None:
    assert charlies_client.get(PAGE).status_code == 403

    permit(charlie, "view_apikey")

    assert charlies_client.get(PAGE).status_code == 200
    assert charlies_client.post(PAGE).status_code == 405


def test_the_guide_has_the_same_recipes() -> None:
    recipes = as_markdown(base_url="http://127.0.0.1:8000/v1", model="demo/chat")

    assert recipes.strip() in GUIDE.read_text(), "docs/guides/chat-uis.md is behind client_recipes.py"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.id))
def test_a_recipe_names_the_gateway_and_holds_no_key(recipe: Recipe) -> None:
    (shown,) = (one for one in filled(base_url=BASE_URL, model="acme/small") if one.id == recipe.id)
    text = " ".join([*shown.steps, *(block.text for block in shown.blocks)])

    assert BASE_URL.removesuffix("/v1") in text
    assert "acme/small" in text or recipe.id == "open-webui"
    assert "sk-" not in text
    assert "__" not in text


def test_librechats_file_is_what_librechat_reads() -> None:
    (endpoint,) = yaml.safe_load(_block("librechat"))["endpoints"]["custom"]

    assert endpoint["baseURL"] == BASE_URL
    assert endpoint["models"] == {"default": ["acme/small"], "fetch": True}
    assert endpoint["apiKey"] == "${AGENT_GATEWAY_KEY}"
    assert {"name", "titleConvo", "titleModel", "modelDisplayLabel"} < set(endpoint)


def test_continues_file_is_what_continue_reads() -> None:
    settings = yaml.safe_load(_block("continue"))

    assert (settings["schema"], settings["version"]) == ("v1", "1.0.0")
    (model,) = settings["models"]
    assert (model["provider"], model["apiBase"], model["model"]) == ("openai", BASE_URL, "acme/small")
    assert model["roles"] == ["chat", "edit", "apply"]


@pytest.mark.parametrize("recipe_id", ["open-webui", "lobechat", "anythingllm"])
def test_variables_are_variables(recipe_id: str) -> None:
    lines = _block(recipe_id).splitlines()

    assert all(re.fullmatch(r"[A-Z][A-Z_]*=\S+", line) for line in lines)
    assert any(line.endswith(f"={BASE_URL}") for line in lines)


@pytest.mark.parametrize("recipe_id", ["openai-python", "langchain", "llamaindex"])
def test_python_is_python(recipe_id: str) -> None:
    ast.parse(_block(recipe_id))


@pytest.mark.clients
@pytest.mark.parametrize("recipe_id", ["openai-node", "vercel-ai-sdk"])
def test_javascript_is_javascript(recipe_id: str, tmp_path: Path) -> None:
    script = tmp_path / "chat.mjs"
    script.write_text(_block(recipe_id))

    subprocess.run(["node", "--check", str(script)], check=True, timeout=30)
