"""Tools in the admin: forms that name what is wrong, secrets that stay, and the page to try one."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from gateway_project.core.snapshot import SnapshotStore
from security_app.models import Limit
from security_app.services.configuration import store
from security_app.services.limiting import limiting
from tests.tools.functions import SECRET
from tests.tools.setup import MODULES, row
from tools_app.models import Tool
from tools_app.registry import tools_of
from tools_app.services.management import create_tool

LIST = "/admin/tools_app/tool/"
ADD = f"{LIST}add/"
NUMBERS = '{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}'


@pytest.fixture(autouse=True)
def modules(settings: Any, snapshots: SnapshotStore) -> None:
    """The functions of tests may be called; the database is the test's own."""
    settings.TOOL_MODULES = MODULES


def form(**changes: Any) -> dict[str, Any]:
    """What a browser sends for a new tool."""
    return {
        "name": "greet",
        "kind": "python",
        "description": "Greets people.",
        "is_enabled": "on",
        "python_callable": "tests.tools.functions:greet",
        "http_method": "GET",
        "http_url": "",
        "http_headers": "{}",
        "agent_id": "",
        "parameters": "",
        "timeout_s": "30",
        "max_result_bytes": "65536",
    } | changes


def http_form(**changes: Any) -> dict[str, Any]:
    """What a browser sends for a new tool of the kind http."""
    url, headers = "http://127.0.0.1:9/orders", '{"authorization": "Bearer 0123456789-wxyz"}'
    return form(kind="http", python_callable="", http_url=url, http_headers=headers) | changes


def errors(answer: Any) -> dict[str, list[str]]:
    """The form's errors by field."""
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return found


def served() -> dict[str, Any]:
    """The tools that this process serves."""
    return tools_of(store.current.sections)


def test_a_tool_is_added_and_served_at_once(admin_client: Client) -> None:
    answer = admin_client.post(ADD, form(parameters=NUMBERS, argument_guards=["path_traversal"]))

    assert answer.status_code == 302, errors(answer)
    assert Tool.objects.get().argument_guards == ["path_traversal"]
    assert served()["greet"].parameters["required"] == ["a"]
    assert "greet" in admin_client.get(LIST).content.decode()


# What is changed in a right form, the field that has the error then, and words of it.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "a b"}, "name", "letters, digits"),
    ({"description": ""}, "description", "Say what the tool is for"),
    ({"python_callable": ""}, "python_callable", "module:function"),
    ({"python_callable": "os:getcwd"}, "python_callable", "GATEWAY_TOOL_MODULES"),
    ({"python_callable": "tests.tools.functions:gone"}, "python_callable", "has no 'gone'"),
    ({"http_url": "http://127.0.0.1/"}, "http_url", "“HTTP request”"),
    ({"agent_id": "default/x"}, "agent_id", "“Agent”"),
    ({"parameters": "[]"}, "parameters", "JSON object"),
    ({"parameters": "{"}, "parameters", "valid JSON"),
    ({"parameters": '{"type": "array"}'}, "parameters", "'object'"),
    ({"parameters": '{"type": "object", "required": 1}'}, "parameters", "required: "),
    ({"timeout_s": "0"}, "timeout_s", "greater than"),
    ({"max_result_bytes": "1"}, "max_result_bytes", "greater than"),
    ({"argument_guards": ["luck"]}, "argument_guards", "not one of the available choices"),
]
WRONG_REQUEST: list[tuple[dict[str, Any], str, str]] = [
    ({"http_url": ""}, "http_url", "Give a URL"),
    ({"http_url": "http://169.254.169.254/"}, "http_url", "link-local"),
    ({"http_url": "http://127.0.0.1/{id}"}, "parameters", "must require an argument 'id'"),
    ({"http_method": "TRACE"}, "http_method", "not one of the available choices"),
    ({"http_headers": '{"host": "x"}'}, "http_headers", "own to set"),
    ({"http_headers": '{"x": 1}'}, "http_headers", "names and texts"),
    ({"http_headers": '{"x": "env:HOME"}'}, "http_headers", "x: "),
]


def test_what_is_wrong_is_an_error_of_its_field(admin_client: Client) -> None:
    forms = [(form(**change), field, words) for change, field, words in WRONG]
    forms += [(http_form(**change), field, words) for change, field, words in WRONG_REQUEST]

    for sent, field, words in forms:
        found = errors(admin_client.post(ADD, sent))
        assert list(found) == [field], (sent, found)
        assert words in found[field][0], (sent, found)

    assert not Tool.objects.exists()


def test_an_unknown_agent_is_an_error_of_its_field(admin_client: Client) -> None:
    answer = admin_client.post(ADD, form(kind="agent", python_callable="", agent_id="default/nobody"))

    assert errors(answer) == {"agent_id": ["There is no agent 'default/nobody'."]}


def test_a_name_that_exists_is_an_error_of_its_field(admin_client: Client) -> None:
    admin_client.post(ADD, form())

    assert list(errors(admin_client.post(ADD, form()))) == ["name"]


def test_secrets_never_come_back_and_are_kept(admin_client: Client) -> None:
    admin_client.post(ADD, http_form())
    tool = Tool.objects.get()
    path = f"{LIST}{tool.pk}/change/"

    shown = admin_client.get(path)

    assert "0123456789" not in shown.content.decode()
    assert "…wxyz" in shown.content.decode()
    masked = '{"authorization": "…wxyz", "x-more": "1"}'
    answer = admin_client.post(path, http_form(http_headers=masked, description="Finds orders."))
    assert answer.status_code == 302, errors(answer)
    assert dict(served()["greet"].prepared.headers) == {
        "authorization": "Bearer 0123456789-wxyz",
        "x-more": "1",
    }
    moved = http_form(http_headers=masked, http_url="http://127.0.0.2:9/orders")
    assert "when the host changes" in errors(admin_client.post(path, moved))["http_headers"][0]
    admin_client.post(path, http_form(http_headers="{}"))
    assert served()["greet"].prepared.headers == ()


def test_who_may_only_look_sees_masked_headers(charlie: User, charlies_client: Client) -> None:
    config = {"url": "http://127.0.0.1:9/", "headers": {"x-key": "0123456789-wxyz-0123"}}
    tool = create_tool(actor="test", name="orders", kind="http", description="Finds.", config=config)
    charlie.user_permissions.add(Permission.objects.get(codename="view_tool"))

    page = charlies_client.get(f"{LIST}{tool.pk}/change/")

    assert page.status_code == 200
    assert "0123456789" not in page.content.decode()
    assert "…0123" in page.content.decode()
    assert charlies_client.get(f"{LIST}{tool.pk}/try/").status_code == 403
    assert charlies_client.post(f"{LIST}{tool.pk}/try/", {"arguments": "{}"}).status_code == 403


def made(name: str) -> Tool:
    """A tool that calls the function of this name."""
    given = row(name)
    return create_tool(actor="test", name=name, kind="python", description="D.", config=given.config)


def test_a_tool_is_tried(admin_client: Client) -> None:
    path = f"{LIST}{made('greet').pk}/try/"

    assert "Call the tool" in admin_client.get(path).content.decode()
    page = admin_client.post(path, {"arguments": '{"name": "<b>"}'}).content.decode()

    assert "It answered in" in page
    assert "Hello &lt;b&gt;" in page


def test_a_trial_keeps_away_from_the_counters_of_the_server_s_loop(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    Limit.objects.create(subject_kind="tool", subject_id="greet", value=0)
    store.refresh()
    assert store.current.sections["limits"].value.kinds == {"tool"}
    monkeypatch.setattr(limiting, "_limiter", None)

    page = admin_client.post(
        f"{LIST}{made('greet').pk}/try/", {"arguments": '{"name": "x"}'}
    ).content.decode()

    assert "It answered in" in page
    assert limiting._limiter is None


def test_a_trial_that_fails_tells_no_more_than_a_model_is_told(admin_client: Client) -> None:
    page = admin_client.post(f"{LIST}{made('fail').pk}/try/", {"arguments": ""}).content.decode()

    assert "It failed (error)" in page
    assert "The tool failed" in page
    assert SECRET not in page


def test_arguments_that_are_no_object_are_an_error_of_the_field(admin_client: Client) -> None:
    page = admin_client.post(f"{LIST}{made('greet').pk}/try/", {"arguments": "[1]"}).content.decode()

    assert "Give a JSON object" in page
    assert "It answered" not in page


def test_a_tool_that_broke_shows_why_and_can_be_turned_off(admin_client: Client, settings: Any) -> None:
    tool = made("greet")
    settings.TOOL_MODULES = []
    store.refresh(everything=True)

    assert "left out" in admin_client.get(LIST).content.decode()
    assert "GATEWAY_TOOL_MODULES" in admin_client.get(f"{LIST}{tool.pk}/change/").content.decode()
    admin_client.post(LIST, {"action": "disable", "_selected_action": [str(tool.pk)]})

    assert not Tool.objects.get().is_enabled
    assert "Off" in admin_client.get(f"{LIST}{tool.pk}/change/").content.decode()


def test_a_tool_is_deleted(admin_client: Client) -> None:
    tool = made("greet")

    admin_client.post(f"{LIST}{tool.pk}/delete/", {"post": "yes"})

    assert not Tool.objects.exists()
    assert served() == {}
