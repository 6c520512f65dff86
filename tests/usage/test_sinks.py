"""Usage events: each record reaches each sink at least once, in batches that receivers know again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest
from botocore.credentials import Credentials
from django.db import connection, transaction
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from gateway_project.core.db import close_connections_of_this_thread
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import public_id, uuid7
from security_app.models import AuditEvent, Team
from security_app.services.restoring import Version, restore, version_of
from tests.providers.bedrock_wire import check_signature
from tests.usage.entries import id_at, make_entry, store
from tests.usage.sinks import SECRET, Receiver, events, make_bucket, make_sink, receiving
from usage_app.models import Bucket, SinkState, UsageEvent, UsageSink
from usage_app.services.sinks.batches import Batch
from usage_app.services.sinks.event_log import note_events, purge_events
from usage_app.services.sinks.lag import find_late_sinks, sink_lags
from usage_app.services.sinks.push import push, push_due
from usage_app.services.sinks.sending import send_batch

pytestmark = pytest.mark.django_db
LATER = timedelta(days=1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def stored(*, at: datetime | None = None, number: int = 1, **fields: object) -> str:
    """A record in the ledger; its public id."""
    record_id = uuid7() if at is None else id_at(at, number)
    assert store(make_entry(id=record_id, **fields)) == 1
    return public_id("req", record_id)


def test_a_webhook_gets_each_record_once_signed_by_standard_webhooks(receiver: Receiver) -> None:
    make_sink(receiver.url + "/hook?token=t", secret=SECRET)
    ids = [stored(), stored()]

    assert push_due() == 1
    assert push_due() == 0

    (request,) = receiver.requests
    assert [event["request_id"] for event in events(request)] == ids
    assert events(request)[0]["cost"] == "0.005000000"
    batch, moment = request.header("webhook-id"), request.header("webhook-timestamp")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = hmac.digest(key, f"{batch}.{moment}.".encode() + request.body, hashlib.sha256)
    assert request.header("webhook-signature") == "v1," + base64.b64encode(expected).decode()
    assert abs(int(moment or 0) - utc_now().timestamp()) < 60
    assert request.target == "/hook?token=t"


def test_a_record_that_is_stored_late_comes_late_and_is_not_skipped(receiver: Receiver) -> None:
    make_sink(receiver.url)
    new = stored(at=utc_now())
    push_due()

    old = stored(at=utc_now() - timedelta(days=3), number=2)
    push_due()

    assert receiver.ids() == [new, old]


def test_what_is_not_taken_is_sent_again_under_the_same_id_with_the_same_events(receiver: Receiver) -> None:
    sink = make_sink(receiver.url)
    first = stored()
    receiver.answers = [(503, b""), (302, b"")]
    assert push(sink) == 0
    second = stored()

    assert push(sink) == 0, "it rests after a failure"
    assert push(sink, now=utc_now() + LATER) == 0
    assert push(sink, now=utc_now() + 2 * LATER) == 2

    assert receiver.ids() == [first, first, first, second]
    names = receiver.batches()
    assert len(set(names[:3])) == 1
    assert names[3] not in names[:3]
    assert receiver.requests[0].body == receiver.requests[2].body
    state = SinkState.objects.get()
    assert (state.sent_events, state.sent_batches, state.attempts, state.error) == (2, 2, 0, "")


def test_batches_are_no_larger_than_the_sink_wants(receiver: Receiver) -> None:
    sink = make_sink(receiver.url, batch_size=2)
    ids = [stored() for _ in range(5)]

    assert push(sink) == 3

    assert [len(events(request)) for request in receiver.requests] == [2, 2, 1]
    assert receiver.ids() == ids


def test_a_sink_gets_only_what_its_team_and_its_models_say(receiver: Receiver) -> None:
    team = Team.objects.create(name="red")
    sink = make_sink(receiver.url, team=team, model_pattern="acme/*", batch_size=1)
    stored()
    stored(team_id=team.id, model="other/large")
    wanted = [stored(team_id=team.id), stored(team_id=team.id)]

    assert push(sink) == 2

    assert receiver.ids() == wanted
    assert sink_lags()[0].lag == timedelta()


def test_a_new_sink_gets_what_is_stored_from_then_on(receiver: Receiver) -> None:
    make_sink(receiver.url + "/one", name="one")
    stored()
    make_sink(receiver.url + "/two", name="two")
    both = stored()

    push_due()

    (request,) = (request for request in receiver.requests if request.path == "/two")
    assert [event["request_id"] for event in events(request)] == [both]


def test_a_sink_that_is_off_goes_on_where_it_was(receiver: Receiver) -> None:
    sink = make_sink(receiver.url, is_enabled=False)
    kept = stored()
    assert push_due() == 0

    sink.is_enabled = True
    sink.save()
    push_due()

    assert receiver.ids() == [kept]


def test_without_a_sink_nothing_is_noted() -> None:
    stored()

    assert not UsageEvent.objects.exists()


def test_nobody_pushes_while_another_has_the_lease(receiver: Receiver) -> None:
    sink = make_sink(receiver.url)
    stored()
    SinkState.objects.update(lease_until=utc_now() + timedelta(minutes=1), lease_token=uuid7())

    assert push(sink) == 0
    assert push(sink, now=utc_now() + LATER) == 1


def test_a_bucket_gets_signed_objects_whose_names_say_which_batch_they_are(receiver: Receiver) -> None:
    bucket = make_bucket(receiver.url, prefix="site=1/")
    sink = make_sink(kind="s3", bucket=bucket)
    record = stored()
    receiver.answers = [(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")]
    push(sink)
    assert SinkState.objects.get().error == "HTTP 403 (AccessDenied)"

    push(sink, now=utc_now() + LATER)

    refused, taken = receiver.requests
    assert refused.target == taken.target
    moment = UsageEvent.objects.get().stored_at
    folder = f"/usage/site%3D1/usage/{sink.id.hex}/{moment:%Y/%m/%d}/"
    assert taken.target.startswith(f"{folder}{sink.public_id}-")
    assert (taken.method, taken.header("content-type")) == ("PUT", "application/x-ndjson")
    assert [event["request_id"] for event in events(taken)] == [record]
    headers = {name.lower(): value for name, value in taken.headers}
    assert headers["x-amz-content-sha256"] == hashlib.sha256(taken.body).hexdigest()
    keys = Credentials("AKIDEXAMPLE", "secret")
    check_signature("PUT", receiver.url + taken.target, headers, taken.body, keys, service="s3")


def test_a_collector_gets_logs_and_what_it_rejects_is_counted_and_not_sent_again(receiver: Receiver) -> None:
    sink = make_sink(receiver.url + "/v1/logs", kind="otlp", secret="api-key=k, x-tenant = t=1")
    at = datetime(2026, 11, 18, 12, 5, tzinfo=UTC)
    record = stored(at=at, tags=("a", "b"))
    receiver.answers = [(200, b'{"partialSuccess":{"rejectedLogRecords":"1"}}')]

    assert push(sink) == 1

    (request,) = receiver.requests
    assert (request.header("api-key"), request.header("x-tenant")) == ("k", "t=1")
    (resource,) = request.json["resourceLogs"]
    (log,) = resource["scopeLogs"][0]["logRecords"]
    assert log["timeUnixNano"] == str(int(at.timestamp()) * 1_000_000_000)
    attributes = {pair["key"]: pair["value"] for pair in log["attributes"]}
    assert attributes["agent_gateway.request_id"] == {"stringValue": record}
    assert attributes["gen_ai.usage.input_tokens"] == {"intValue": "1000"}
    assert attributes["agent_gateway.tags"]["arrayValue"]["values"][1] == {"stringValue": "b"}
    assert (SinkState.objects.get().lost_events, SinkState.objects.get().sent_events) == (1, 0)


def test_an_address_that_must_not_be_called_is_not(receiver: Receiver, settings: Settings) -> None:
    settings.ALLOW_PRIVATE_HOSTS = False
    hook = make_sink(receiver.url)
    bucket = make_sink(kind="s3", name="s3", bucket=make_bucket(receiver.url))
    stored()

    assert push(hook) + push(bucket) == 0

    assert receiver.requests == []
    (error,) = {state.error for state in SinkState.objects.all()}
    assert error.startswith("it can't be called: this address is")


def test_a_sink_that_can_t_be_sent_to_in_any_way_rests_and_holds_up_no_other(receiver: Receiver) -> None:
    broken = make_sink(receiver.url + "/hook?token=a\nb", name="broken")
    make_sink(receiver.url, name="fine")
    record = stored()

    assert push_due() == 1

    state = SinkState.objects.get(sink=broken)
    assert receiver.ids() == [record]
    assert (state.error, state.attempts, state.lease_token) == ("InvalidURL", 1, None)
    assert state.due_at > utc_now()


def test_whatever_goes_wrong_with_one_sink_the_others_are_served(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make_sink(receiver.url, name="broken")
    make_sink(receiver.url, name="fine")
    record = stored()

    def send(sink: UsageSink, batch: Batch) -> int:
        if sink.pk == broken.pk:
            raise RuntimeError("such as the time that a task may take")
        return send_batch(sink, batch)

    monkeypatch.setattr("usage_app.services.sinks.push.send_batch", send)

    assert push_due() == 1

    state = SinkState.objects.get(sink=broken)
    assert receiver.ids() == [record]
    assert (state.error, state.attempts, state.lease_token) == ("RuntimeError", 1, None)
    assert state.due_at > utc_now()


def test_events_go_when_all_sinks_are_past_them(receiver: Receiver) -> None:
    one, two = make_sink(receiver.url, name="one"), make_sink(receiver.url, name="two")
    stored()
    push(one)
    assert purge_events() == 0

    push(two)

    assert purge_events() == 1
    UsageSink.objects.all().delete()
    assert not UsageEvent.objects.exists()


def test_what_is_beyond_its_retention_is_lost_for_all_to_see(receiver: Receiver, settings: Settings) -> None:
    settings.USAGE_EVENT_RETENTION_DAYS = 2
    sink = make_sink(receiver.url)
    stored()
    UsageEvent.objects.update(stored_at=utc_now() - timedelta(days=3))
    kept = stored()

    assert purge_events() == 1

    assert SinkState.objects.get().lost_events == 1
    assert [found.kind for found in find_late_sinks(utc_now())] == ["sink_lost_events"]
    push(sink)
    assert receiver.ids() == [kept]


def test_a_sink_that_is_late_is_a_finding(receiver: Receiver) -> None:
    sink = make_sink(receiver.url)
    stored()
    now = utc_now()
    assert list(find_late_sinks(now)) == []

    (found,) = find_late_sinks(now + timedelta(hours=2))

    assert (found.kind, found.object_name) == ("sink_late", "siem")
    push(sink)
    assert list(find_late_sinks(now + timedelta(hours=2))) == []


@pytest.mark.django_db(transaction=True)
def test_numbers_become_visible_in_their_order() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("there is but one writer")
    make_sink("https://siem.example.org")
    one, other = uuid7(), uuid7()
    thread = threading.Thread(target=_note_in_a_transaction, args=(other,))

    with transaction.atomic():
        note_events([one])
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert list(UsageEvent.objects.values_list("record_id", flat=True)) == [one]
    thread.join(10)

    assert list(UsageEvent.objects.order_by("seq").values_list("record_id", flat=True)) == [one, other]


def _note_in_a_transaction(record_id: UUID) -> None:
    with transaction.atomic():
        note_events([record_id])
    close_connections_of_this_thread()


def test_what_secrets_are_bound_to_does_not_come_back_under_them() -> None:
    bucket = make_bucket("https://old.example.org")
    bucket.endpoint = "https://new.example.org"
    bucket.save()
    sink = make_sink("https://siem.example.org", secret=SECRET)
    sink.kind = "otlp"
    sink.set_secret("")
    sink.save()

    for row, model in ((bucket, Bucket), (sink, UsageSink)):
        events_of = AuditEvent.objects.filter(object_id=row.pk.hex)
        made = events_of.get(action="created")
        with pytest.raises(InvalidRequest):
            restore(model, cast(Version, version_of(made)))
        row.delete()
        gone = events_of.get(action="deleted")
        with pytest.raises(InvalidRequest):
            restore(model, cast(Version, version_of(gone)))
