"""How to set up the clients that people use: data only, for the admin's page and docs/guides/chat-uis.md.

Texts hold `__BASE_URL__` (ends in /v1), `__ORIGIN__` (the same without /v1) and `__MODEL__`, which `filled`
puts in. The key is never part of a recipe: `YOUR_KEY` stands for it, or a variable that holds it.
"""

from __future__ import annotations

from typing import NamedTuple

KEY = "YOUR_KEY"


class Block(NamedTuple):
    """Something to copy. `language` is the one of its syntax; `place` says where it goes."""

    language: str
    place: str
    text: str


class Recipe(NamedTuple):
    """One client: what to do in words, then what to copy, then what is good to know."""

    id: str
    title: str
    group: str
    steps: tuple[str, ...]
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()


CHAT, EDITOR, CODE, SHELL = "Chat apps", "Editors", "Libraries", "Command line"

RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "curl",
        "curl",
        SHELL,
        ("Put the key into the variable GATEWAY_KEY, then run:",),
        (
            Block(
                "sh",
                "A terminal",
                """\
curl -sS __BASE_URL__/chat/completions \\
  -H "Authorization: Bearer $GATEWAY_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "__MODEL__", "messages": [{"role": "user", "content": "Hello!"}]}'
""",
            ),
        ),
        ('Add "stream": true, and -N for curl, to see the answer as it comes.',),
    ),
    Recipe(
        "claude-code",
        "Claude Code",
        SHELL,
        ("Start it with these variables; the address is the one without /v1:",),
        (
            Block(
                "env",
                "The shell's environment",
                """\
ANTHROPIC_BASE_URL=__ORIGIN__
ANTHROPIC_AUTH_TOKEN=YOUR_KEY
ANTHROPIC_MODEL=__MODEL__
ANTHROPIC_DEFAULT_HAIKU_MODEL=__MODEL__
""",
            ),
        ),
        ("MAX_THINKING_TOKENS=0 is for models that can't reason.",),
    ),
    Recipe(
        "open-webui",
        "Open WebUI",
        CHAT,
        (
            "Open Admin Panel → Settings → Connections and add an OpenAI API connection.",
            "URL: __BASE_URL__, key: your key. Save; the models are in the list at once.",
            "Or start it with these variables; they are read at the first start only:",
        ),
        (
            Block(
                "env",
                "The container's environment",
                """\
ENABLE_OPENAI_API=true
OPENAI_API_BASE_URL=__BASE_URL__
OPENAI_API_KEY=YOUR_KEY
""",
            ),
        ),
        (
            "Titles, tags and follow-up questions are calls of their own; choose a small model for them "
            "under Settings → Interface → Task Model.",
        ),
    ),
    Recipe(
        "librechat",
        "LibreChat",
        CHAT,
        (
            "Put AGENT_GATEWAY_KEY=YOUR_KEY into .env.",
            "Add the endpoint to librechat.yaml and restart; with Docker the file must be mounted:",
        ),
        (
            Block(
                "yaml",
                "librechat.yaml",
                """\
version: 1.2.1
cache: true
endpoints:
  custom:
    - name: "Agent Gateway"
      apiKey: "${AGENT_GATEWAY_KEY}"
      baseURL: "__BASE_URL__"
      models:
        default: ["__MODEL__"]
        fetch: true
      titleConvo: true
      titleModel: "current_model"
      modelDisplayLabel: "Agent Gateway"
""",
            ),
        ),
        ("LibreChat keeps the list of models for two minutes.",),
    ),
    Recipe(
        "lobechat",
        "LobeChat",
        CHAT,
        (
            "Start the server with these variables, or enter the same under Settings → AI Service Provider "
            "→ OpenAI (API Proxy URL, API Key), and fetch the list of models there:",
        ),
        (
            Block(
                "env",
                "The container's environment",
                """\
OPENAI_API_KEY=YOUR_KEY
OPENAI_PROXY_URL=__BASE_URL__
OPENAI_MODEL_LIST=-all,+__MODEL__
""",
            ),
        ),
        (
            "LobeChat leaves out models whose id holds embedding, davinci, curie, ada, babbage, tts, whisper "
            "or dall-e: give such a model a route with another name.",
        ),
    ),
    Recipe(
        "anythingllm",
        "AnythingLLM",
        CHAT,
        (
            "Choose Generic OpenAI as LLM provider under Settings → AI Providers → LLM and enter base URL, "
            "key and model. Or start it with these variables:",
        ),
        (
            Block(
                "env",
                "The container's environment, or server/.env",
                """\
LLM_PROVIDER=generic-openai
GENERIC_OPEN_AI_BASE_PATH=__BASE_URL__
GENERIC_OPEN_AI_API_KEY=YOUR_KEY
GENERIC_OPEN_AI_MODEL_PREF=__MODEL__
GENERIC_OPEN_AI_MODEL_TOKEN_LIMIT=8192
GENERIC_OPEN_AI_MAX_TOKENS=1024
""",
            ),
        ),
        ("Set the token limit to the model's context window.",),
    ),
    Recipe(
        "jan",
        "Jan",
        CHAT,
        (
            "Open Settings → Model Providers and click Add Provider.",
            "Choose the API format OpenAI-compatible and a name.",
            "Base URL: __BASE_URL__, API key: your key. Refresh the list of models and choose __MODEL__.",
        ),
    ),
    Recipe(
        "cherry-studio",
        "Cherry Studio",
        CHAT,
        (
            "Open Settings → Model Provider, click Add, and choose the type OpenAI.",
            "API key: your key. API address: __ORIGIN__ (Cherry Studio adds /v1 by itself).",
            "Click Manage to fetch the models, and add __MODEL__.",
        ),
    ),
    Recipe(
        "continue",
        "Continue",
        EDITOR,
        ("Add the model to your configuration:",),
        (
            Block(
                "yaml",
                "~/.continue/config.yaml",
                """\
name: Agent Gateway
version: 1.0.0
schema: v1
models:
  - name: Agent Gateway
    provider: openai
    model: __MODEL__
    apiBase: __BASE_URL__
    apiKey: YOUR_KEY
    roles:
      - chat
      - edit
      - apply
""",
            ),
        ),
    ),
    Recipe(
        "cline",
        "Cline",
        EDITOR,
        (
            "Open Cline's settings and choose OpenAI Compatible as API provider.",
            "Base URL: __BASE_URL__, API key: your key, model id: __MODEL__.",
        ),
        notes=("Cline works with tools and long prompts: choose a model with a large context window.",),
    ),
    Recipe(
        "openai-python",
        "OpenAI for Python",
        CODE,
        ("pip install openai, and put the key into the variable OPENAI_API_KEY.",),
        (
            Block(
                "python",
                "chat.py",
                """\
from openai import OpenAI

client = OpenAI(base_url="__BASE_URL__")
answer = client.chat.completions.create(
    model="__MODEL__",
    messages=[{"role": "user", "content": "Hello!"}],
)
print(answer.choices[0].message.content)
""",
            ),
        ),
    ),
    Recipe(
        "openai-node",
        "OpenAI for Node",
        CODE,
        ("npm install openai, and put the key into the variable OPENAI_API_KEY.",),
        (
            Block(
                "javascript",
                "chat.mjs",
                """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "__BASE_URL__" });
const answer = await client.chat.completions.create({
  model: "__MODEL__",
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(answer.choices[0].message.content);
""",
            ),
        ),
    ),
    Recipe(
        "langchain",
        "LangChain",
        CODE,
        ("pip install langchain-openai, and put the key into the variable OPENAI_API_KEY.",),
        (
            Block(
                "python",
                "chat.py",
                """\
from langchain_openai import ChatOpenAI

llm = ChatOpenAI(model="__MODEL__", base_url="__BASE_URL__")
print(llm.invoke("Hello!").content)
""",
            ),
        ),
    ),
    Recipe(
        "llamaindex",
        "LlamaIndex",
        CODE,
        ("pip install llama-index-llms-openai-like",),
        (
            Block(
                "python",
                "chat.py",
                """\
from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model="__MODEL__",
    api_base="__BASE_URL__",
    api_key="YOUR_KEY",
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=8192,
)
print(llm.complete("Hello!"))
""",
            ),
        ),
        ("Set context_window to the model's own.",),
    ),
    Recipe(
        "vercel-ai-sdk",
        "Vercel AI SDK",
        CODE,
        ("npm install ai @ai-sdk/openai-compatible, and put the key into the variable GATEWAY_KEY.",),
        (
            Block(
                "javascript",
                "chat.mjs",
                """\
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const gateway = createOpenAICompatible({
  name: "agent-gateway",
  baseURL: "__BASE_URL__",
  apiKey: process.env.GATEWAY_KEY,
  includeUsage: true,
});
const { text } = await generateText({ model: gateway.chatModel("__MODEL__"), prompt: "Hello!" });
console.log(text);
""",
            ),
        ),
    ),
)


def filled(*, base_url: str, model: str) -> tuple[Recipe, ...]:
    """All recipes for a gateway at `base_url`, which ends in /v1, and one of its models."""
    values = {"__BASE_URL__": base_url, "__ORIGIN__": base_url.removesuffix("/v1"), "__MODEL__": model}

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    return tuple(
        recipe._replace(
            steps=tuple(map(fill, recipe.steps)),
            blocks=tuple(block._replace(text=fill(block.text)) for block in recipe.blocks),
            notes=tuple(map(fill, recipe.notes)),
        )
        for recipe in RECIPES
    )


def groups(recipes: tuple[Recipe, ...]) -> list[tuple[str, list[Recipe]]]:
    """Recipes by group, in the order in which people look for them."""
    return [
        (group, [recipe for recipe in recipes if recipe.group == group])
        for group in (CHAT, EDITOR, CODE, SHELL)
    ]


def as_markdown(*, base_url: str, model: str) -> str:
    """The recipes as the guide holds them."""
    lines: list[str] = []
    for group, recipes in groups(filled(base_url=base_url, model=model)):
        lines += [f"## {group}", ""]
        for recipe in recipes:
            lines += [f"### {recipe.title}", "", *recipe.steps, ""]
            for block in recipe.blocks:
                lines += [f"{block.place}:", "", f"```{block.language}", block.text.rstrip("\n"), "```", ""]
            lines += [line for note in recipe.notes for line in (note, "")]
    return "\n".join(lines)
