"""The first-run wizard: each step by plain forms, who may use it, and that it is in nobody's way."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from gateway_project.core.snapshot import SnapshotStore
from gateway_project.first_run.state import chat_models, is_due
from security_app.models import ApiKey, FirstRun
from security_app.services.authentication import authenticate
from security_app.services.keys import create_key
from tests.admin.rows import permit, upstream
from tests.fakes import behaviours
from tests.fakes.vendor import FakeVendor
from upstreams_app.demo.catalogue import MODELS
from upstreams_app.models import HealthSample, Upstream, UpstreamModel

WIZARD = "/admin/first-run/"
pytestmark = pytest.mark.django_db


def _at(step: str) -> str:
    return f"{WIZARD}?step={step}"


@pytest.fixture
def demo(db: None) -> Upstream:
    return Upstream.objects.create(name="demo", kind="demo", base_url="", path_prefix="")


def _choose(client: Client, service: str, **fields: str) -> Any:
    return client.post(_at("upstream"), {"service": service, **fields})


def _log_in(client: Client, path: str = "/admin/login/", **fields: str) -> str:
    User.objects.get_or_create(username="alice", is_staff=True, is_superuser=True)
    alice = User.objects.get(username="alice")
    alice.set_password("correct-horse-battery")
    alice.save()
    answer = client.post(path, {"login": "alice", "password": "correct-horse-battery", **fields})
    assert answer.status_code == 302
    return str(answer.headers["Location"])


def test_the_first_administrator_is_led_to_it_once(client: Client, demo: Upstream) -> None:
    create_key(actor="bootstrap", name="first key")

    assert _log_in(client, next="/admin/") == WIZARD
    client.logout()
    assert _log_in(client, next="/admin/") == "/admin/"


def test_who_wants_to_see_a_certain_page_is_not_led_away(client: Client, demo: Upstream) -> None:
    wanted = "/admin/security_app/apikey/"

    assert _log_in(client, next=wanted) == wanted


@pytest.mark.parametrize("what", ["upstream", "key", "left"])
def test_nobody_is_led_to_it_where_work_has_begun(what: str, client: Client, demo: Upstream) -> None:
    if what == "upstream":
        upstream()
    elif what == "key":
        create_key(actor="alice", name="made by hand")
    else:
        FirstRun.load()

    assert _log_in(client, next="/admin/") == "/admin/"


def test_who_may_not_add_upstreams_is_not_led_to_it(client: Client, demo: Upstream, charlie: User) -> None:
    answer = client.post(
        "/admin/login/", {"login": "charlie", "password": "charlies-password", "next": "/admin/"}
    )

    assert answer.headers["Location"] == "/admin/"
    assert not FirstRun.objects.exists()


@pytest.mark.parametrize(
    "codenames",
    [
        (),
        ("add_upstream", "change_upstream"),
        ("add_apikey",),
    ],
)
@pytest.mark.parametrize("step", ["upstream", "test", "key", "chat", "client"])
def test_half_the_permissions_open_no_step(
    step: str, codenames: tuple[str, ...], charlie: User, charlies_client: Client
) -> None:
    permit(charlie, *codenames)

    assert charlies_client.get(_at(step)).status_code == 403
    assert charlies_client.post(_at(step), {"action": "leave"}).status_code == 403
    assert not FirstRun.objects.exists()
    assert not ApiKey.objects.exists()


def test_all_the_permissions_open_every_step(charlie: User, charlies_client: Client) -> None:
    permit(charlie, "add_upstream", "change_upstream", "probe_upstream", "add_apikey")

    for step in ("upstream", "test", "key", "chat", "client", "unknown"):
        assert charlies_client.get(_at(step)).status_code == 200


def test_strangers_are_sent_to_the_login(client: Client) -> None:
    assert client.get(WIZARD).status_code == 302
    assert client.put(WIZARD).status_code == 302


def test_who_leaves_is_not_led_back_and_the_progress_is_forgotten(
    admin_client: Client, demo: Upstream
) -> None:
    _choose(admin_client, f"row:{demo.pk}")

    answer = admin_client.post(WIZARD, {"action": "leave"})

    assert answer.headers["Location"] == "/admin/"
    assert not is_due()
    assert "first_run" not in admin_client.session


def test_the_demo_is_taken_tested_and_its_models_imported(admin_client: Client, demo: Upstream) -> None:
    chosen = _choose(admin_client, f"row:{demo.pk}")
    tested = admin_client.post(_at("test"), follow=True)

    page = tested.content.decode()
    assert chosen.headers["Location"] == _at("test")
    assert f"demo answers. {len(MODELS)} models added." in page
    assert "demo/chat" in page
    assert HealthSample.objects.get().is_healthy
    assert UpstreamModel.objects.filter(upstream=demo).count() == len(MODELS)


def test_a_service_is_added_with_its_address_and_key(admin_client: Client) -> None:
    with FakeVendor() as vendor:
        _choose(
            admin_client,
            "kind:openai-compatible",
            base_url=vendor.url,
            api_key="sk-vendor-0123456789",
            name="acme",
        )
        page = admin_client.post(_at("test"), follow=True).content.decode()

        row = Upstream.objects.get()
        assert (row.name, row.kind, row.base_url) == ("acme", "openai-compatible", vendor.url)
        assert row.get_api_key() == "sk-vendor-0123456789"
        assert vendor.requests[0].header("authorization") == "Bearer sk-vendor-0123456789"
    assert "acme/fake-chat" in page
    assert "sk-vendor" not in page
    assert "sk-vendor" not in str(dict(admin_client.session))


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"service": "kind:nothing"}, "service", "valid choice"),
        ({"service": "kind:openai-compatible"}, "base_url", "base URL is needed"),
        ({"service": "kind:openai-compatible", "base_url": "ftp://x"}, "base_url", "http"),
        ({"service": "kind:ollama", "name": "Not A Name"}, "name", "lower-case"),
        ({"service": "kind:ollama", "name": "taken"}, "name", "already exists"),
        ({"service": "row", "base_url": "http://else.example"}, "base_url", "Leave this empty"),
        ({"service": "row", "api_key": "sk-else"}, "api_key", "Leave this empty"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    fields: dict[str, str], field: str, message: str, admin_client: Client
) -> None:
    taken = upstream("taken")
    if fields["service"] == "row":
        fields = {**fields, "service": f"row:{taken.pk}"}

    answer = admin_client.post(_at("upstream"), fields)

    assert answer.status_code == 200
    assert message in str(answer.context["form"].errors[field])
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert Upstream.objects.count() == 1


@pytest.mark.parametrize(
    ("service", "given", "kept"),
    [
        ("kind:openai-compatible", "https://llm.example/v1/", "https://llm.example"),
        ("kind:openai-compatible", "https://llm.example/v1", "https://llm.example"),
        ("kind:ollama", "", "http://127.0.0.1:11434"),
        ("preset:groq", "", "https://api.groq.com"),
        ("preset:groq", "https://api.groq.com/openai/v1", "https://api.groq.com"),
    ],
)
def test_an_address_may_be_given_as_clients_write_it(
    service: str, given: str, kept: str, admin_client: Client
) -> None:
    answer = _choose(admin_client, service, base_url=given)

    assert answer.status_code == 302
    assert Upstream.objects.get().base_url == kept


def test_a_dead_upstream_is_told_and_kept(admin_client: Client) -> None:
    _choose(admin_client, "kind:vllm", base_url="http://127.0.0.1:1")

    page = admin_client.post(_at("test"), follow=True).content.decode()

    assert "vllm does not answer as it should: the connection was refused" in page
    assert "Continue</" not in page
    assert Upstream.objects.get().name == "vllm"


def test_a_list_that_is_none_is_told(admin_client: Client) -> None:
    with FakeVendor() as vendor:
        vendor.on_path("/v1/models", behaviours.answer(200, b"<html>"))
        _choose(admin_client, "kind:openai-compatible", base_url=vendor.url, name="acme")

        page = admin_client.post(_at("test"), follow=True).content.decode()

    assert "answered no list of models" in page


def test_steps_without_what_they_need_say_so(admin_client: Client) -> None:
    assert "choose one first" in admin_client.get(_at("test")).content.decode()
    assert "choose one first" in admin_client.post(_at("test")).content.decode()
    assert "There is no chat model yet" in admin_client.get(_at("chat")).content.decode()


def test_the_new_key_is_in_one_answer_and_nowhere_else(
    admin_client: Client, demo: Upstream, snapshots: SnapshotStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    _choose(admin_client, f"row:{demo.pk}")

    made = admin_client.post(_at("key"), {"name": "laptop", "models": "demo/*"})

    found = re.search(r'id="plain-key"[^>]*value="(sk-gw-[0-9A-Za-z]+)"', made.content.decode())
    assert found
    plain = found[1]
    principal = authenticate(snapshots.current.sections["security"].value, plain)
    assert (principal.name, principal.policy.allowed_models) == ("laptop", ("demo/*",))
    assert "no-store" in made.headers["Cache-Control"]
    for step in ("upstream", "test", "key", "chat", "client"):
        assert plain not in admin_client.get(_at(step)).content.decode()
    assert plain not in str(dict(admin_client.session))
    assert all(plain not in str(session.get_decoded()) for session in Session.objects.all())
    assert all(plain not in str(vars(record)) for record in caplog.records)
    assert all(plain not in str(vars(key)) for key in ApiKey.objects.all())


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"name": ""}, "name"), ({"name": "n" * 201}, "name"), ({"name": "x", "models": "else/*"}, "models")],
)
def test_a_key_that_is_refused_is_told_at_its_field(
    fields: dict[str, str], field: str, admin_client: Client
) -> None:
    answer = admin_client.post(_at("key"), fields)

    assert answer.context["form"].errors[field]
    assert not ApiKey.objects.exists()


def test_the_key_is_carried_into_the_first_chat(admin_client: Client, demo: Upstream) -> None:
    UpstreamModel.objects.create(upstream=demo, name="chat")

    answer = admin_client.post(_at("chat"), {"action": "carry", "key": "sk-gw-carried"})

    assert 'value="sk-gw-carried"' in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert "sk-gw-carried" not in str(dict(admin_client.session))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": "", "model": "demo/chat", "prompt": "Hi"}, "key"),
        ({"key": "k", "model": "demo/else", "prompt": "Hi"}, "model"),
        ({"key": "k", "model": "demo/chat", "prompt": ""}, "prompt"),
    ],
)
def test_a_chat_that_lacks_something_is_not_sent(
    fields: dict[str, str], field: str, admin_client: Client, demo: Upstream
) -> None:
    UpstreamModel.objects.create(upstream=demo, name="chat")

    answer = admin_client.post(_at("chat"), fields)

    assert answer.context["form"].errors[field]


def test_the_chosen_upstreams_models_come_first_however_many_there_are(demo: Upstream) -> None:
    many, chosen, last = upstream("aaa"), upstream("chosen"), upstream("zzz")
    rows = [UpstreamModel(upstream=many, name=f"m{number:04}") for number in range(1001)]
    UpstreamModel.objects.bulk_create(rows)
    for row in (demo, chosen, last):
        UpstreamModel.objects.create(upstream=row, name="chat")

    assert chat_models(chosen)[:2] == ["chosen/chat", "aaa/m0000"]
    assert chat_models(demo)[0] == "demo/chat"
    assert len(chat_models(None)) == 200
    UpstreamModel.objects.filter(upstream=many, name__gt="m0000").update(is_enabled=False)
    assert chat_models(None) == ["aaa/m0000", "chosen/chat", "zzz/chat", "demo/chat"]


def test_without_scripts_the_server_asks_its_own_api(
    admin_client: Client, demo: Upstream, settings: Any
) -> None:
    UpstreamModel.objects.create(upstream=demo, name="chat")
    with FakeVendor() as door:
        settings.HOST, settings.PORT = "0.0.0.0", door.port  # noqa: S104

        answer = admin_client.post(_at("chat"), {"key": "sk-gw-1", "model": "demo/chat", "prompt": "Hi"})

        (request,) = door.requests
        assert request.header("authorization") == "Bearer sk-gw-1"
        assert request.json == {"model": "demo/chat", "messages": [{"role": "user", "content": "Hi"}]}
    assert "Hello from the fake" in answer.content.decode()


def test_without_scripts_a_server_behind_https_does_not_ask_itself(
    admin_client: Client, demo: Upstream, settings: Any
) -> None:
    UpstreamModel.objects.create(upstream=demo, name="chat")
    fields = {"key": "sk-gw-1", "model": "demo/chat", "prompt": "Hi"}
    with FakeVendor() as door:
        settings.HOST, settings.PORT, settings.HTTPS_ONLY = "127.0.0.1", door.port, True

        page = admin_client.post(_at("chat"), fields).content.decode()

        assert not door.requests
    assert "with scripts enabled" in page


def test_without_scripts_an_error_of_the_api_is_told(
    admin_client: Client, demo: Upstream, settings: Any
) -> None:
    UpstreamModel.objects.create(upstream=demo, name="chat")
    fields = {"key": "sk-gw-1", "model": "demo/chat", "prompt": "Hi"}
    with FakeVendor() as door:
        settings.HOST, settings.PORT = "127.0.0.1", door.port
        door.script(behaviours.error(401, "This key is unknown."))

        refused = admin_client.post(_at("chat"), fields)

    assert "This key is unknown." in refused.content.decode()
    assert "could not reach its own API" in admin_client.post(_at("chat"), fields).content.decode()
    assert "not a key of this gateway" in (
        admin_client.post(_at("chat"), {**fields, "key": "schlüssel"}).content.decode()
    )


def test_what_is_found_on_this_machine_comes_first_and_stays_as_it_was_shown(
    admin_client: Client, demo: Upstream, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway_project.first_run import views
    from upstreams_app.services.discovery import FoundServer

    settings.PROBE_LOCAL_SERVERS = True
    server = FoundServer("ollama", "http://127.0.0.1:11434")
    # It answers once, and is too busy afterwards.
    looks = iter([[server], []])
    monkeypatch.setattr(views, "find_local_servers", lambda: next(looks))

    page = admin_client.get(WIZARD).content.decode()
    _choose(admin_client, "found:http://127.0.0.1:11434")

    assert page.index("Found on this machine") < page.index("Registered already")
    assert Upstream.objects.get(kind="ollama").base_url == server.base_url
    assert list(looks) == [[]]


def test_the_wizard_works_with_a_forged_session(admin_client: Client) -> None:
    session = admin_client.session
    session["first_run"] = ["not", "a", "dict"]
    session.save()

    assert admin_client.get(_at("test")).status_code == 200
