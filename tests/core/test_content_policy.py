"""Policies for content: whose texts may be stored, and what of them never is."""

from __future__ import annotations

import time
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.registries import store
from security_app.models import ContentPolicy
from security_app.registry import KeyPolicy, Principal
from security_app.registry.content import NOTHING_STORED, ContentConfig, ContentRule, build
from security_app.services.content import masked
from security_app.services.keys import create_key, delete_keys
from tests.usage.entries import ALICE, BOB

TEAM = UUID("01900000-0000-7000-8000-00000000000a")
ALL = ContentRule(stores_texts=True)
CARD = "4111 1111 1111 1111"
LIST = "/admin/security_app/contentpolicy/"


def somebody(key: UUID | None = ALICE, team: UUID | None = None) -> Principal:
    return Principal(key, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False, team_id=team)


@pytest.mark.django_db
def test_without_a_policy_nothing_is_stored() -> None:
    config = build(None, 1, {}).value

    assert config.rule_for(somebody()) == NOTHING_STORED
    assert not NOTHING_STORED.stores_texts
    assert not ContentPolicy().stores_texts


@pytest.mark.django_db
def test_the_closest_policy_counts_alone() -> None:
    ContentPolicy.objects.create(stores_texts=True, retention_days=9)
    ContentPolicy.objects.create(subject_kind="team", subject_id=TEAM.hex)
    ContentPolicy.objects.create(
        subject_kind="key", subject_id=ALICE.hex, stores_texts=True, masks_emails=False, retention_days=3
    )

    rule_for = build(None, 1, {}).value.rule_for

    assert rule_for(somebody(ALICE, TEAM)) == ContentRule(True, False, True, 3)
    assert rule_for(somebody(BOB, TEAM)) == ContentRule(False, True, True, 7)
    assert rule_for(somebody(BOB)) == ContentRule(True, True, True, 9)
    # The master key is nobody's.
    assert rule_for(somebody(None)).retention_days == 9
    assert ContentConfig({("key", BOB.hex): ALL}).rule_for(somebody()) == NOTHING_STORED


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subject_kind": "everyone", "subject_id": "x"}, "subject_id"),
        ({"subject_kind": "key", "subject_id": " "}, "subject_id"),
        ({"subject_kind": "team", "subject_id": "ours"}, "subject_id"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": 401}, "retention_days"),
    ],
)
@pytest.mark.django_db
def test_a_policy_names_whose_it_is_and_ends(fields: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ContentPolicy(**fields).full_clean()
    assert field in caught.value.message_dict


@pytest.mark.django_db
def test_there_is_one_policy_of_each() -> None:
    ContentPolicy.objects.create()

    with pytest.raises(IntegrityError), transaction.atomic():
        ContentPolicy.objects.create()


@pytest.mark.django_db
def test_the_policy_of_a_key_goes_with_it() -> None:
    key = create_key(actor="test", name="short-lived").row
    ContentPolicy.objects.create(subject_kind="key", subject_id=key.pk.hex)
    ContentPolicy.objects.create()

    delete_keys([key], actor="test")

    assert [row.subject_kind for row in ContentPolicy.objects.all()] == ["everyone"]


@pytest.mark.django_db(transaction=True)
def test_it_is_written_in_the_admin_and_acts_at_once(admin_client: Client) -> None:
    store.refresh(everything=True)
    body = {
        "subject_kind": "key",
        "subject_id": f"key_{ALICE.hex}",
        "stores_texts": "on",
        "retention_days": "2",
    }

    assert admin_client.post(f"{LIST}add/", body).status_code == 302

    config: ContentConfig = store.current.sections["content"].value
    assert config.rule_for(somebody()) == ContentRule(True, False, False, 2)
    assert "may be stored" in admin_client.get(LIST).content.decode()
    page = admin_client.post(f"{LIST}add/", body)
    assert "There is such a policy already." in page.content.decode()
    store.forget()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ask ann.o'hara@mail.example.org, please", "ask ann.o'[e-mail], please"),
        ('"to\\nalice@example.org"', '"to\\[e-mail]"'),
        ("jürgen@straße.de und @home", "[e-mail] und @home"),
        (f"pay with {CARD}.", "pay with [card number]."),
        ("4111111111111111", "[card number]"),
        ("3782-822463-10005 and 12 5555 5555 5555 4444 9", "[card number] and 12 [card number] 9"),
        # No card has this number.
        ("order 4111 1111 1111 1112, at 1700000000000", "order 4111 1111 1111 1112, at 1700000000000"),
        ("AKIA1234567890ABCDEF", "[secret]"),
        ('{"key":"\\nsk-proj-abcdefghij0123456789"}', '{"key":"\\n[secret]"}'),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "[secret]"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b", "a [secret] b"),
        ("a -----BEGIN PRIVATE KEY-----\\nMIIEvQ", "a [secret]"),
        ("", ""),
    ],
)
def test_texts_are_stored_without(text: str, kept: str) -> None:
    assert masked(text, ALL) == kept


def test_addresses_and_cards_may_be_kept_but_never_secrets() -> None:
    rule = ContentRule(stores_texts=True, masks_emails=False, masks_cards=False)

    assert masked(f"a@example.org {CARD} gsk_{'a1' * 20}", rule) == f"a@example.org {CARD} [secret]"


@given(st.text(alphabet="ab1 4.@-\\n_", max_size=200), st.text(alphabet=" ,\n", min_size=1, max_size=3))
@settings(max_examples=100)
def test_nothing_around_hides_what_is_to_be_masked(around: str, space: str) -> None:
    text = f"{around}{space}ann@example.org{space}sk-proj-abcdefghij0123456789{space}{around}"

    kept = masked(text, ALL)

    assert "ann@" not in kept
    assert "abcdefghij0123456789" not in kept


@pytest.mark.parametrize(
    "piece", ["a", "1 ", "123 ", "1", "a@", "a@b.", "eyJ", "eyJ-", "-----BEGIN PRIVATE KEY-----", "sk-"]
)
def test_masking_takes_a_time_that_grows_with_the_text_alone(piece: str) -> None:
    begun = time.process_time()

    masked(piece * (200_000 // len(piece)), ALL)

    # Tens of milliseconds; what grows with the square would take minutes.
    assert time.process_time() - begun < 3
