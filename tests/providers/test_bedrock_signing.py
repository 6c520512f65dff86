"""Who the gateway is for AWS: keys, API keys, roles and the machine's own identity; no error tells them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from botocore.credentials import Credentials

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.providers.bedrock_wire import REGION, check_signature
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.bedrock import credentials, provider
from upstreams_app.providers.bedrock.credentials import Keys, chain_of, parse_credential
from upstreams_app.providers.bedrock.signing import Signer
from upstreams_app.providers.wire import Site, WireRequest

KEYS = Keys("AKIASIGNINGTESTS0001", "signing-secret/0123456789+abcdef", None)
TEXT = f"{KEYS.access_key}:{KEYS.secret_key}"
ROLE = "arn:aws:iam::123456789012:role/models"
ARN = "arn%3Aaws%3Abedrock%3Aeu-central-1%3A123456789012%3Ainference-profile%2Feu.some.model-v1%3A0"
REQUEST = WireRequest(
    f"/model/{ARN}/converse", b'{"a":1}', {"Content-Type": "application/json", "Accept": "x"}
)
HOST = f"bedrock-runtime.{REGION}.amazonaws.com"
URL = f"https://{HOST}{REQUEST.path}"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine without any identity; its AWS configuration is the file that is given."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    chain_of.cache_clear()
    yield config
    chain_of.cache_clear()


class Sts:
    """A fake of AWS's token service; keys that it gives are numbered, and live for `lifetime`."""

    def __init__(self) -> None:
        self.lifetime = timedelta(hours=1)
        self.asked: list[dict[str, list[str]]] = []
        self.error = ""

    async def __call__(self, exchange: Exchange) -> None:
        """Answer AssumeRole and AssumeRoleWithWebIdentity."""
        form = parse_qs(exchange.request.body.decode())
        if form["Action"] == ["AssumeRole"]:
            headers = {name.lower(): value for name, value in exchange.request.headers}
            url = f"http://{headers['host']}/"
            check_signature("POST", url, headers, exchange.request.body, Credentials(*KEYS), service="sts")
        self.asked.append(form)
        if self.error:
            inside = f"<Code>{self.error}</Code><Message>secret words</Message>"
            text = f"<ErrorResponse><Error>{inside}</Error></ErrorResponse>"
            await exchange.respond(403, text.encode(), content_type="text/xml")
            return
        until = datetime.now(UTC) + self.lifetime
        action = form["Action"][0]
        number = len(self.asked)
        text = (
            f"<{action}Response><{action}Result><Credentials><AccessKeyId>ASIAROLE{number:012d}</AccessKeyId>"
            f"<SecretAccessKey>role-secret-{number}</SecretAccessKey><SessionToken>role-token-{number}</SessionToken>"
            f"<Expiration>{until:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>{ROLE}</Arn><AssumedRoleId>x</AssumedRoleId></AssumedRoleUser>"
            f"</{action}Result></{action}Response>"
        )
        await exchange.respond(200, text.encode(), content_type="text/xml")


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    """The token service that botocore will ask."""
    fake = Sts()
    with HttpServer(fake) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.port}")
        yield fake


def site(credential: str = "", **options: str) -> Site:
    """An upstream in a region."""
    return Site({"region": REGION, **options}, credential)


async def proof(at: Site, url: str = URL, *, credential: str = "") -> dict[str, str]:
    """The headers of one request."""
    signer = Signer(at)
    try:
        return {
            name.lower(): value for name, value in (await signer.headers(REQUEST, url, credential)).items()
        }
    finally:
        await signer.close()


def assert_signed(headers: dict[str, str], keys: Keys) -> None:
    """Signed with these keys, for this request."""
    whole = {"host": HOST, "content-type": "application/json", **headers}
    check_signature("POST", URL, whole, REQUEST.body, Credentials(*keys))


def key_of(headers: dict[str, str]) -> str:
    """The id of the key that signed."""
    return headers["authorization"].partition("Credential=")[2].partition("/")[0]


@pytest.mark.parametrize("token", [None, "token/with+signs=="])
async def test_keys_sign(token: str | None) -> None:
    keys = KEYS._replace(token=token)

    headers = await proof(site(":".join(filter(None, keys))))

    assert_signed(headers, keys)


async def test_a_signer_takes_each_clients_own_key() -> None:
    others = Keys("AKIAOTHERSOTHERS0001", "another-secret-0123456789", None)
    signer = Signer(Site({"region": REGION}, "", takes_client_credential=True))

    for keys in (KEYS, KEYS, others, KEYS):
        made = await signer.headers(REQUEST, URL, f"{keys.access_key}:{keys.secret_key}")
        assert_signed({name.lower(): value for name, value in made.items()}, keys)

    await signer.close()


async def test_keys_may_be_json() -> None:
    text = (
        '{"aws_access_key_id": "' + KEYS.access_key + '", "aws_secret_access_key": "' + KEYS.secret_key
        + '", "aws_session_token": "tok"}'
    )  # fmt: skip

    assert_signed(await proof(site(text)), KEYS._replace(token="tok"))


async def test_an_api_key_is_a_bearer() -> None:
    assert await proof(Site({}, "ABSKabc=")) == {"authorization": "Bearer ABSKabc="}


@pytest.mark.parametrize("text", ["AKIAONLYTHEID0000000", "x:y", "AKIASIGNINGTESTS0001:", "{}", '{"a', "[]:"])
def test_what_is_no_credential_is_said_without_it(text: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="its credential is") as caught:
        parse_credential(text)

    assert text not in str(caught.value)


def test_nothing_of_a_key_is_shown() -> None:
    identity = credentials.identity_of({"role_arn": ROLE}, KEYS, REGION)

    shown = f"{KEYS!r} {identity!r} {parse_credential('ABSKabc=')!r} {site(TEXT)!r}"

    assert not any(secret in shown for secret in (KEYS.secret_key, KEYS.access_key, "ABSKabc"))


def test_no_log_has_a_signature_or_a_token() -> None:
    """botocore's signer writes the whole request at the level debug."""
    script = (
        "import logging; from gateway_project.observability.logging import configure; configure('DEBUG'); "
        "print(logging.getLogger('botocore.auth').isEnabledFor(logging.INFO))"
    )

    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert told.stdout.strip() == "False"


async def test_the_region_is_in_the_address_where_no_option_says_it() -> None:
    assert_signed(await proof(Site({}, TEXT)), KEYS)
    with pytest.raises(UpstreamUnreachable, match="name no region"):
        await proof(Site({}, TEXT), "https://proxy.example/model")


async def test_the_machines_own_keys_sign_where_none_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)

    assert_signed(await proof(site()), KEYS)


async def test_a_machine_without_an_identity_says_so() -> None:
    with pytest.raises(UpstreamUnreachable, match="there are no AWS credentials"):
        await proof(site())


async def test_the_machines_api_key_goes_to_aws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may name an address must not get the key sent to it."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "ABSKmachine")

    assert await proof(site()) == {"authorization": "Bearer ABSKmachine"}
    for url in (URL.replace("https", "http"), URL.replace(HOST, f"{HOST}.evil.example")):
        with pytest.raises(UpstreamUnreachable, match="there are no AWS credentials"):
            await proof(site(), url)


@pytest.fixture
def profile(machine: Path) -> str:
    """A profile of the machine's AWS configuration, with keys."""
    machine.write_text(
        f"[profile models]\naws_access_key_id={KEYS.access_key}\naws_secret_access_key={KEYS.secret_key}\n"
    )
    return "models"


async def test_a_profile_of_the_machine(profile: str) -> None:
    assert_signed(await proof(site(profile=profile)), KEYS)
    with pytest.raises(UpstreamUnreachable, match="ProfileNotFound"):
        await proof(site(profile="other"))


async def test_a_role_is_assumed_with_its_names(sts: Sts) -> None:
    headers = await proof(site(TEXT, role_arn=ROLE, external_id="tenant-7", session_name="blue"))

    assert_signed(headers, Keys("ASIAROLE000000000001", "role-secret-1", "role-token-1"))
    (asked,) = sts.asked
    assert (asked["RoleArn"], asked["ExternalId"], asked["RoleSessionName"]) == (
        [ROLE],
        ["tenant-7"],
        ["blue"],
    )


async def test_the_identity_of_a_pod(sts: Sts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """IAM roles for service accounts: a token in a file, and a role in the environment."""
    token = tmp_path / "token"
    token.write_text("web-identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)

    headers = await proof(site())

    assert key_of(headers) == "ASIAROLE000000000001"
    assert sts.asked[0]["WebIdentityToken"] == ["web-identity"]


async def test_keys_are_kept_and_asked_for_once(sts: Sts) -> None:
    at = site(TEXT, role_arn=ROLE)
    signer = Signer(at)

    many = await asyncio.gather(*(signer.headers(REQUEST, URL, "") for _ in range(20)))
    later = await proof(at)

    assert len(sts.asked) == 1
    assert {key_of({"authorization": one["Authorization"]}) for one in many} == {key_of(later)}


async def test_new_keys_come_before_the_old_expire(sts: Sts) -> None:
    """A call that finds keys with little time left takes them; only one that finds none waits."""
    sts.lifetime = timedelta(minutes=4)
    signer = Signer(site(TEXT, role_arn=ROLE))
    first = await signer.headers(REQUEST, URL, "")
    sts.lifetime = timedelta(hours=1)
    signer._rests_until = 0

    second = await signer.headers(REQUEST, URL, "")
    assert signer._refresh is not None
    await signer._refresh
    third = await signer.headers(REQUEST, URL, "")

    keys = [key_of({"authorization": one["Authorization"]})[-1] for one in (first, second, third)]
    assert keys == ["1", "1", "2"]
    await signer.close()


async def test_a_role_that_is_refused_is_said_in_our_words(sts: Sts) -> None:
    sts.error = "AccessDenied"

    with pytest.raises(UpstreamUnreachable) as caught:
        await proof(site(TEXT, role_arn=ROLE))

    assert str(caught.value) == "assuming its AWS role failed (AccessDenied)"
    assert caught.value.__cause__ is None


async def test_a_call_that_is_cancelled_does_not_end_what_others_wait_for(sts: Sts) -> None:
    signer = Signer(site(TEXT, role_arn=ROLE))
    first = asyncio.create_task(signer.headers(REQUEST, URL, ""))
    second = asyncio.create_task(signer.headers(REQUEST, URL, ""))
    await asyncio.sleep(0)

    first.cancel()

    assert key_of({"authorization": (await second)["Authorization"]}) == "ASIAROLE000000000001"


async def test_the_event_loop_goes_on_while_keys_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    asked, may_go = asyncio.Event(), threading.Event()

    def slow(_identity: credentials.Identity) -> Credentials:
        loop.call_soon_threadsafe(asked.set)
        assert may_go.wait(10)
        return Credentials(*KEYS)

    monkeypatch.setattr(credentials, "_source", slow)
    call = asyncio.create_task(proof(site()))

    await asked.wait()
    may_go.set()

    assert_signed(await call, KEYS)


async def test_clients_credentials_are_theirs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who brings none must not be served with the machine's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEMACHINE0001")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "machine")
    at = Site({"region": REGION}, "", takes_client_credential=True)

    assert_signed(await proof(at, credential=TEXT), KEYS)
    with pytest.raises(UpstreamUnreachable, match="the client brought no credential"):
        await proof(at)
    with pytest.raises(UpstreamUnreachable, match="clients' own"):
        await proof(at._replace(options={"region": REGION, "role_arn": ROLE}), credential=TEXT)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (site("ABSKabc=", role_arn=ROLE), "with an API key"),
        (site(TEXT, profile="models"), "a profile as well"),
    ],
)
async def test_identities_that_contradict_each_other_are_told(at: Site, words: str) -> None:
    with pytest.raises(UpstreamUnreachable, match=words):
        await proof(at)


@pytest.mark.parametrize(
    "options",
    [
        {"region": "us-east-1.evil.example/"},
        {"region": ""},
        {"region": 5},
        {"role_arn": "models"},
        {"role_arn": ROLE, "session_name": "a b"},
        {"external_id": "x7"},
        {"profile": "a\nb"},
        {"structured_outputs": "yes"},
        {"surprise": "x"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        provider().check_options(options)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "bedrock-runtime.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_region_makes_the_address(region: str, host: str) -> None:
    provider().check_options({"region": region, "structured_outputs": True})

    assert provider().base_url({"region": region}) == f"https://{host}"
    assert provider().base_url({}) == ""
