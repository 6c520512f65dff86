"""An upstream of the kind bedrock: its address, its list of models, its health, and calls as botocore's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from django.core.exceptions import ValidationError
from django.forms import modelform_factory

from gateway_project.core.errors import InvalidRequest
from tests.fakes.http_server import HttpServer
from tests.providers.bedrock_cases import SONNET, exchange
from tests.providers.bedrock_fake import KEYS, MODELS, PROFILES, respond
from tests.providers.bedrock_wire import REGION
from upstreams_app.admin.upstream_form import UpstreamForm
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.services.discovery import import_models
from upstreams_app.services.management import create_upstream, update_upstream
from upstreams_app.services.probe_rounds import probe_upstream


@pytest.fixture(scope="module")
def vendor() -> Iterator[HttpServer]:
    """Bedrock."""
    with HttpServer(respond) as server:
        yield server


def upstream(url: str, credential: str) -> Upstream:
    """An upstream of the kind, in the database."""
    row = Upstream(name="bedrock", kind="bedrock", base_url=url, path_prefix="", options={"region": REGION})
    row.set_api_key(credential)
    row.full_clean()
    row.save()
    return row


@pytest.mark.django_db
def test_models_and_profiles_are_imported(vendor: HttpServer) -> None:
    keys = ":".join((KEYS.access_key, KEYS.secret_key, KEYS.token))
    row = upstream(f"http://127.0.0.1:{vendor.port}", keys)

    result = import_models(row)
    sample = probe_upstream(row)

    modes = dict(UpstreamModel.objects.values_list("name", "mode"))
    assert result.added == 4
    assert modes == {MODELS[0]: "chat", MODELS[1]: "embedding", PROFILES[0]: "chat", PROFILES[1]: "embedding"}
    assert sample is not None
    assert (sample.is_healthy, sample.status_code) == (True, 200)


@pytest.mark.django_db
def test_what_is_wrong_with_a_credential_is_said_without_it() -> None:
    row = upstream("http://127.0.0.1:1", "AKIAWITHOUTASECRET01")

    sample = probe_upstream(row)

    assert sample is not None
    assert not sample.is_healthy
    assert sample.error.startswith("its credential is neither")
    assert "AKIA" not in sample.error


@pytest.mark.django_db
def test_the_region_fills_the_address_in() -> None:
    row = create_upstream(actor="tests", name="aws", kind="bedrock", options={"region": "eu-west-1"})

    assert row.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert row.path_prefix == ""
    with pytest.raises(ValidationError, match="AWS region"):
        Upstream(name="x", kind="bedrock", base_url="https://x.example", options={"region": "x"}).full_clean()


@pytest.mark.django_db
def test_another_region_is_another_address_which_wants_the_credential_again() -> None:
    row = create_upstream(
        actor="tests", name="aws", kind="bedrock", api_key="ABSKa", options={"region": "eu-west-1"}
    )

    with pytest.raises(InvalidRequest):
        update_upstream(Upstream.objects.get(), actor="tests", options={"region": "eu-west-2"})
    update_upstream(row, actor="tests", options={"region": "eu-west-2"}, api_key="ABSKb")

    assert Upstream.objects.get().base_url == "https://bedrock-runtime.eu-west-2.amazonaws.com"


@pytest.mark.django_db
def test_the_admins_form_fills_the_address_in() -> None:
    fields = {
        "name": "aws",
        "kind": "bedrock",
        "base_url": "",
        "path_prefix": "/v1",
        "option_bedrock_region": "eu-west-1",
        "extra_endpoints": "",
        "headers": "{}",
        "credential_source": "none",
        "connect_timeout_s": 5,
        "first_token_timeout_s": 60,
        "idle_timeout_s": 60,
        "total_timeout_s": 600,
    }

    columns = [name for name in fields if not name.startswith("option_")]
    form = modelform_factory(Upstream, form=UpstreamForm, fields=columns)(fields)

    assert form.is_valid(), form.errors
    assert form.instance.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert form.instance.path_prefix == ""


@pytest.mark.parametrize("is_stream", [False, True])
def test_boto3_reads_from_the_fake_what_our_clients_get(vendor: HttpServer, is_stream: bool) -> None:
    """The same request by the vendor's own client, with its own signature and framing."""
    client: Any = boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=f"http://127.0.0.1:{vendor.port}",
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        aws_session_token=KEYS.token,
        config=Config(retries={"max_attempts": 1}),
    )
    body = json.loads(exchange(stream=is_stream, max_tokens=4).request.body)

    if is_stream:
        events = list(client.converse_stream(modelId=SONNET, **body)["stream"])
        text = "".join(
            event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event
        )
        reason = next(event["messageStop"]["stopReason"] for event in events if "messageStop" in event)
    else:
        answer = client.converse(modelId=SONNET, **body)
        text, reason = answer["output"]["message"]["content"][0]["text"], answer["stopReason"]

    assert (text, reason) == ("You said: Hello", "end_turn")
