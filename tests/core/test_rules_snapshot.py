"""Rows of rules and groups act as soon as they are read; those that can't be understood deny."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.ids import uuid7
from gateway_project.core.snapshot import Section
from security_app.models import AccessGroup, AccessRule, ConfigVersion
from security_app.registry import KeyPolicy, Principal, RulesConfig, build_rules
from security_app.services.permissions import Question, decide

pytestmark = pytest.mark.django_db
KEY = uuid7()
ADA = Principal(KEY, "ada", "ada", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)


def built() -> Section[Any]:
    return build_rules(None, 1, {})


def may(model_id: str, *, kind: str = "model") -> bool:
    rules: RulesConfig = built().value
    return decide(ADA, Question(kind, model_id), rules=rules).is_allowed


def make(pattern: str, effect: str = "deny", **values: Any) -> AccessRule:
    """A checked and saved rule about models, for everybody."""
    given = {"name": "a rule", "object_kind": "model", "pattern": pattern, "effect": effect, **values}
    row = AccessRule(**given)
    row.full_clean()
    row.save()
    return row


def test_rows_are_in_force_with_all_their_columns() -> None:
    make("openai/*", subject_kind="key", subject_id=KEY.hex)
    make("old/*", valid_until=utc_now() - timedelta(seconds=1))
    make("new/*", valid_from=utc_now() + timedelta(hours=1))
    make("off/*", is_enabled=False)
    make("here/*", condition="principal.user_id == 'ada'")
    make("there/*", condition="principal.user_id == 'bob'")
    make("bob/*", subject_kind="user", subject_id="bob")

    assert not may("openai/gpt-4o")
    assert not may("here/one")
    assert all(map(may, ("old/one", "new/one", "off/one", "there/one", "bob/one")))


def test_a_group_stands_for_what_it_holds() -> None:
    AccessGroup.objects.create(name="big", model_patterns=["openai/o*"], tool_patterns=["crm_*"])
    make("group:big")
    make("group:big", object_kind="tool")

    assert not may("openai/o3")
    assert may("openai/gpt-4o")
    assert not may("crm_find", kind="tool")


def test_every_change_counts_and_rebuilds_the_section() -> None:
    row = make("m")
    first = ConfigVersion.objects.get(section="rules").version

    row.delete()
    group = AccessGroup.objects.create(name="big")
    AccessGroup.objects.filter(pk=group.pk).update(model_patterns=["m"])

    assert ConfigVersion.objects.get(section="rules").version == first + 3


def spoil(row: AccessRule, **values: str) -> None:
    """Write what no form lets through."""
    with connection.cursor() as cursor:
        for column, value in values.items():
            cursor.execute(f"UPDATE security_app_accessrule SET {column} = %s", [value])  # noqa: S608  (own columns)


@pytest.mark.parametrize(
    ("column", "value"), [("condition", "run(object)"), ("pattern", "group:gone"), ("condition", "((")]
)
def test_a_denial_that_is_not_understood_denies_all_of_its_kind(column: str, value: str) -> None:
    spoil(make("other"), **{column: value})

    assert not may("m")
    assert may("t", kind="tool")
    (diagnostic,) = built().diagnostics
    assert diagnostic.object.startswith("access rule a rule (rule_")


def test_an_allowance_that_is_not_understood_allows_nothing() -> None:
    spoil(make("m", "allow"), condition="run(object)")

    assert not may("m")
    assert not may("other")


def test_a_group_that_is_unusable_holds_nothing_and_is_shown() -> None:
    AccessGroup.objects.create(name="big", model_patterns={"not": "a list"})
    make("group:big", "allow")

    assert not may("m")
    assert built().diagnostics[0].object == "access group big"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"subject_kind": "key", "subject_id": "ada"}, "subject_id"),
        ({"subject_kind": "user"}, "subject_id"),
        ({"subject_id": "ada"}, "subject_id"),
        ({"pattern": "group:nowhere"}, "pattern"),
        ({"object_kind": "ip", "pattern": "10.0.0.1/8"}, "pattern"),
        ({"object_kind": "route", "pattern": "v1/*"}, "pattern"),
        ({"object_kind": "route", "pattern": "group:x"}, "pattern"),
        ({"object_kind": "secret"}, "object_kind"),
        ({"effect": "perhaps"}, "effect"),
        ({"condition": "object.matches('x')"}, "condition"),
        ({"condition": "object"}, "condition"),
        ({"condition": "principal.age > 5"}, "condition"),
        ({"condition": "arguments.amount > 5"}, "condition"),
        ({"origin": "override", "effect": "allow"}, "valid_until"),
        ({"valid_from": utc_now(), "valid_until": utc_now() - timedelta(days=1)}, "valid_until"),
    ],
)
def test_a_wrong_rule_is_refused_and_the_field_is_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        make(**{"pattern": "m", **values})

    assert field in refused.value.message_dict


@pytest.mark.parametrize(
    "values",
    [
        {"subject_kind": "key"},
        {"subject_id": "ada"},
        {"origin": "override", "effect": "allow", "note": "x", "subject_kind": "user", "subject_id": "a"},
        {"origin": "override", "effect": "deny", "note": "x", "valid_until": utc_now()},
    ],
)
def test_the_database_keeps_out_what_checks_would_refuse(values: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "r", "object_kind": "model", "pattern": "m", "effect": "deny", **values}

    with pytest.raises(IntegrityError), transaction.atomic():
        AccessRule.objects.create(**given)


def test_ten_thousand_rules_are_read_and_asked() -> None:
    AccessRule.objects.bulk_create(
        AccessRule(
            name=f"rule {number}",
            subject_kind="user",
            subject_id=f"user-{number % 100}",
            object_kind="model",
            pattern=f"vendor-{number}/*",
            effect="deny",
        )
        for number in range(10_000)
    )

    rules: RulesConfig = built().value

    ada = ADA._replace(user_id="user-7")
    assert not decide(ada, Question("model", "vendor-107/a"), rules=rules).is_allowed
    assert decide(ada, Question("model", "vendor-108/a"), rules=rules).is_allowed
    assert decide(ADA, Question("model", "vendor-107/a"), rules=rules).is_allowed


@pytest.mark.parametrize("pattern", ["10.1.0.0/16", "::ffff:10.1.0.0/112", "::ffff:10.1.2.3"])
@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_addresses_of_ipv4_are_denied_however_they_are_written(pattern: str, address: str) -> None:
    make(pattern, object_kind="ip")

    assert not may(address, kind="ip")
    assert may("10.2.2.3", kind="ip")
