"""The recipes for clients that need no app: they are run as they stand on the page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gateway_project.client_recipes import filled
from tests.doors.curl import run_curl
from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, MODEL
from tests.fakes.vendor import FakeVendor


def recipe(gateway: Gateway, recipe_id: str) -> str:
    """The text that the page offers for copying."""
    recipes = filled(base_url=f"{gateway.url}/v1", model=MODEL)
    return next(one for one in recipes if one.id == recipe_id).blocks[0].text


def test_curl_does_what_its_recipe_says(gateway: Gateway, vendor: FakeVendor) -> None:
    answer = run_curl(recipe(gateway, "curl"), GATEWAY_KEY=KEY)

    assert answer.json()["choices"][0]["message"]["content"].startswith("Hello from the fake")


def test_openai_for_python_does_what_its_recipe_says(
    gateway: Gateway, vendor: FakeVendor, tmp_path: Path
) -> None:
    script = tmp_path / "chat.py"
    script.write_text(recipe(gateway, "openai-python"))

    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": KEY, "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
        text=True,
        timeout=180,
    )

    assert done.stdout.startswith("Hello from the fake")
