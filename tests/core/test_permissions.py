"""What lists, rules and grants say together: each combination has one answer, and its explanation agrees."""

from __future__ import annotations

import fnmatch
import time
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.core.errors import PermissionDenied
from gateway_project.core.ids import uuid7
from security_app.models.conditions import compile_condition
from security_app.registry import Bound, DoorRules, KeyPolicy, Principal, Rule, RulesConfig
from security_app.registry.rules import Group
from security_app.services import permissions
from security_app.services.explanations import explain
from security_app.services.permissions import Decision, Question, decide, decide_model, list_variant

KEY, TEAM = UUID(int=1), UUID(int=2)


def principal(
    *,
    models: tuple[str, ...] = (),
    tools: tuple[str, ...] = (),
    bounds: tuple[Bound, ...] = (),
    scopes: tuple[str, ...] = ("inference",),
    **values: Any,
) -> Principal:
    """Ada's key in a team."""
    policy = KeyPolicy(frozenset(scopes), models, tools)
    ada = Principal(KEY, "ada", "ada", policy, 0.0, is_blocked=False, team_id=TEAM, bounds=bounds)
    return ada._replace(**values)


def rule(pattern: str, effect: str = "allow", **values: Any) -> Rule:
    """A rule about models for everybody, unless said otherwise."""
    condition = values.pop("condition", "")
    defaults: dict[str, Any] = {"kind": "model", "is_allow": effect == "allow", "subject": ("", "")}
    given = defaults | values | {"condition": compile_condition(condition) if condition else None}
    return Rule(uuid7(), "a rule", given.pop("subject"), pattern=pattern, **given)


def grant(pattern: str, **values: Any) -> Rule:
    """A temporary grant for the key."""
    defaults: dict[str, Any] = {
        "subject": ("key", KEY.hex),
        "valid_until": time.time() + 600,
        "is_grant": True,
    }
    return rule(pattern, **(defaults | values))


def config(*rules: Rule) -> RulesConfig:
    made = RulesConfig()
    for one in rules:
        made.add(one)
    return made


def ask(who: Principal, question: Question, *rules: Rule) -> Decision:
    """The decision, of which the explanation must say the same."""
    made = config(*rules)
    decision = decide(who, question, rules=made)
    explained = explain(who, question, rules=made)

    assert explained._replace(checked=()) == decision
    outcomes = {step.outcome for step in explained.checked}
    by_steps = "denied" not in outcomes and ("missing" not in outcomes or "granted" in outcomes)
    assert by_steps is decision.is_allowed
    return decision


def may(who: Principal, object_id: str, *rules: Rule, kind: str = "model", **values: Any) -> bool:
    return ask(who, Question(kind, object_id, **values), *rules).is_allowed


def test_without_lists_and_rules_all_is_allowed() -> None:
    assert may(principal(), "any/model")
    assert may(principal(), "any_tool", kind="tool")
    assert may(principal(), "/v1/embeddings", kind="route")
    assert may(principal(), "10.0.0.1", kind="ip")


def test_the_scope_comes_before_everything_else() -> None:
    assert not may(principal(scopes=("admin",)), "any/model", grant("*"))
    assert may(principal(), "inference", kind="scope")
    assert not may(principal(), "admin", kind="scope")


def test_a_blocked_principal_may_nothing() -> None:
    assert not may(principal(is_blocked=True), "any/model", grant("*"))


def test_each_list_narrows() -> None:
    who = principal(models=("openai/*",), bounds=(Bound("team", ("*/gpt-4o",)),))

    assert may(who, "openai/gpt-4o")
    assert not may(who, "openai/o3")
    assert not may(who, "azure/gpt-4o")


def test_a_list_may_name_a_group() -> None:
    rules = config()
    rules.groups["cheap"] = Group(
        "cheap", {"model": ("openai/mini*",), "agent": ("desk/*",), "tool": ("t_*",)}
    )
    who = principal(models=("group:cheap", "own/*"), tools=("group:cheap",))

    def allowed(kind: str, object_id: str) -> bool:
        return decide(who, Question(kind, object_id), rules=rules).is_allowed

    assert allowed("model", "openai/mini-1")
    assert allowed("model", "own/one")
    assert allowed("agent", "desk/billing")
    assert allowed("tool", "t_one")
    assert not allowed("model", "desk/billing")
    assert not allowed("model", "openai/big")
    assert not allowed("model", "group:nothing")
    assert not allowed("tool", "one")


def test_denial_beats_allowance_whoever_they_are_for() -> None:
    denial = rule("openai/o3", "deny")
    allowance = rule("openai/*", subject=("key", KEY.hex))

    assert may(principal(), "openai/gpt-4o", denial, allowance)
    assert not may(principal(), "openai/o3", denial, allowance)
    assert not may(principal(), "openai/o3", allowance, denial)


def test_an_allowing_rule_makes_everything_else_of_its_kind_forbidden_for_its_subject() -> None:
    allowance = rule("openai/*", subject=("team", TEAM.hex))

    assert may(principal(), "openai/gpt-4o", allowance)
    assert not may(principal(), "azure/gpt-4o", allowance)
    assert may(principal(), "desk/billing", allowance, kind="agent")
    assert may(principal(team_id=None), "azure/gpt-4o", allowance)


def test_allowing_rules_of_several_subjects_add_up() -> None:
    rules = (rule("small/*"), rule("big/*", subject=("user", "ada")))

    assert may(principal(), "small/one", *rules)
    assert may(principal(), "big/one", *rules)
    assert not may(principal(user_id="bob"), "big/one", *rules)


def test_an_allowing_rule_lifts_no_list() -> None:
    assert not may(principal(models=("small/*",)), "big/one", rule("big/*"))


def test_what_was_allowed_for_a_while_does_not_open_everything_at_its_end() -> None:
    over = rule("openai/*", valid_until=time.time() - 1)

    assert not may(principal(), "openai/gpt-4o", over)
    assert not may(principal(), "azure/gpt-4o", over)


def test_a_denial_is_over_when_its_time_is() -> None:
    now = time.time()

    assert may(principal(), "m", rule("m", "deny", valid_until=now - 1))
    assert may(principal(), "m", rule("m", "deny", valid_from=now + 600))
    assert not may(principal(), "m", rule("m", "deny", valid_from=now - 1, valid_until=now + 600))


def test_a_grant_makes_up_for_what_is_missing_and_for_nothing_else() -> None:
    who = principal(models=("small/*",), bounds=(Bound("team", ("small/*",)),))

    assert may(who, "big/one", grant("big/one"))
    assert may(principal(), "big/one", grant("big/one"), rule("small/*"))
    assert not may(who, "big/two", grant("big/one"))
    assert not may(who, "big/one", grant("big/one"), rule("big/*", "deny"))
    assert not may(who, "big/one", grant("big/one", valid_until=time.time() - 1))
    assert not may(who, "big/one", grant("big/one", subject=("key", "f" * 32)))
    # Nor does it take away what is allowed without it.
    assert may(who, "small/two", grant("big/one"))


def test_who_only_claims_to_be_an_end_user_gains_nothing_by_it() -> None:
    of_visitor: dict[str, Any] = {"subject": ("end_user", "visitor")}
    claimed = principal(end_user="visitor")
    trusted = principal(end_user="visitor", is_end_user_trusted=True)
    rules = (rule("small/*"), rule("big/*", **of_visitor))
    condition = "principal.end_user == 'visitor'"

    assert may(trusted, "big/one", *rules)
    assert not may(claimed, "big/one", *rules)
    assert may(trusted, "big/one", rule("small/*"), grant("big/*", **of_visitor))
    assert not may(claimed, "big/one", rule("small/*"), grant("big/*", **of_visitor))
    assert may(trusted, "big/one", rule("big/*", condition=condition))
    assert not may(claimed, "big/one", rule("big/*", condition=condition))
    for who in (claimed, trusted):
        assert not may(who, "big/one", rule("big/*", "deny", **of_visitor))


def test_a_condition_decides_when_a_rule_holds() -> None:
    allowance = rule("*", condition="ip.startsWith('10.') && principal.user_id == 'ada'")

    assert may(principal(), "m", allowance, ip="10.0.0.1")
    assert not may(principal(), "m", allowance, ip="192.0.2.1")
    assert not may(principal(user_id="bob"), "m", allowance, ip="10.0.0.1")


@pytest.mark.parametrize("condition", ["1 / 0 == 1", "principal.nobody == 'x'", "object"])
def test_a_condition_that_fails_denies_in_every_rule(condition: str) -> None:
    assert not may(principal(), "m", rule("m", condition=condition))
    assert not may(principal(), "m", rule("m", "deny", condition=condition))
    assert not may(principal(models=("x",)), "m", grant("m", condition=condition))


def test_a_rule_that_is_not_understood_denies_all_of_its_kind_or_allows_nothing() -> None:
    assert not may(principal(), "m", rule("other", "deny", problem="broken"))
    assert not may(principal(), "m", rule("m", problem="broken"))
    assert may(principal(), "t", rule("m", "deny", problem="broken"), kind="tool")


def test_what_a_tool_is_called_with_is_asked_at_the_call() -> None:
    allowance = rule("pay", kind="tool", condition="arguments.amount < 100")
    denial = rule("pay", "deny", kind="tool", condition="arguments.to == 'mallory'")

    for one in (allowance, denial):
        assert may(principal(), "pay", one, kind="tool")
    assert may(principal(), "pay", allowance, kind="tool", arguments={"amount": 99})
    assert not may(principal(), "pay", allowance, kind="tool", arguments={"amount": 100})
    assert not may(principal(), "pay", allowance, kind="tool", arguments={})
    assert not may(principal(), "pay", denial, kind="tool", arguments={"to": "mallory"})
    assert may(principal(), "pay", denial, kind="tool", arguments={"to": "bob"})
    assert not may(principal(), "pay", denial, kind="tool", arguments={})


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("11.0.0.1", False), ("::1", False)],
)
def test_addresses_are_compared_as_addresses(address: str, is_inside: bool) -> None:
    assert may(principal(), address, rule("10.0.0.0/8", kind="ip"), kind="ip") is is_inside
    assert may(principal(), address, rule("10.0.0.0/8", "deny", kind="ip"), kind="ip") is not is_inside
    door = DoorRules((ip_network("10.0.0.0/8"),), (), "off", None)
    assert may(principal(door_rules=door), address, kind="ip") is is_inside


@pytest.mark.parametrize("address", ["", "unix:", "10.0.0"])
def test_who_comes_from_nowhere_is_outside_of_what_is_allowed_and_inside_of_what_is_denied(
    address: str,
) -> None:
    assert not may(principal(), address, rule("*", kind="ip"), kind="ip")
    assert not may(principal(), address, rule("10.0.0.0/8", "deny", kind="ip"), kind="ip")


@pytest.mark.parametrize(
    ("listed", "path", "access", "is_allowed"),
    [
        ("/v1/embeddings", "/v1/embeddings", "inference", True),
        ("/v1/embeddings", "/v1/chat/completions", "inference", False),
        ("/v1/*", "/v1/chat/completions", "inference", True),
        ("llm_api_routes", "/v1/chat/completions", "inference", True),
        ("llm_api_routes", "/key/generate", "admin", False),
        ("management_routes", "/key/generate", "admin", True),
        ("info_routes", "/key/info", "", True),
        ("info_routes", "/key/generate", "admin", False),
    ],
)
def test_routes_are_paths_or_groups_of_them(listed: str, path: str, access: str, is_allowed: bool) -> None:
    who = principal(door_rules=DoorRules((), (listed,), "off", None))

    assert may(who, path, kind="route", access=access) is is_allowed


@pytest.mark.parametrize("model_id", ["small/one", "big/one"])
@pytest.mark.parametrize("models", [(), ("small/*",)])
@pytest.mark.parametrize("bounds", [(), (Bound("team", ("small/*",)),)])
@pytest.mark.parametrize("scopes", [("inference",), ("admin",)])
@pytest.mark.parametrize("is_blocked", [False, True])
def test_the_short_way_says_what_the_whole_one_does(
    model_id: str,
    models: tuple[str, ...],
    bounds: tuple[Bound, ...],
    scopes: tuple[str, ...],
    is_blocked: bool,
) -> None:
    who = principal(models=models, bounds=bounds, scopes=scopes, is_blocked=is_blocked)

    assert decide_model(who, model_id) == decide(who, Question("model", model_id), rules=RulesConfig())


def test_a_shared_list_of_models_is_of_those_who_may_do_the_same() -> None:
    assert list_variant(principal()) != list_variant(principal(bounds=(Bound("team", ("x",)),)))
    who = principal()
    assert list_variant(who) == list_variant(who._replace(name="bob"))


PATTERNS = ("m1", "m2", "m*", "*", "x/[12]")
SUBJECTS = (("", ""), ("key", KEY.hex), ("team", TEAM.hex), ("user", "ada"), ("user", "bob"))
rules_of_models = st.builds(
    lambda pattern, subject, kind: (pattern, subject, kind),
    st.sampled_from(PATTERNS),
    st.sampled_from(SUBJECTS),
    st.sampled_from(["allow", "deny", "grant"]),
)


@settings(max_examples=300, deadline=None)
@given(
    given=st.lists(rules_of_models, max_size=6),
    listed=st.lists(st.sampled_from(PATTERNS), max_size=2),
    bounded=st.lists(st.sampled_from(PATTERNS), max_size=2),
    object_id=st.sampled_from(["m1", "m2", "m3", "x/1", "y"]),
)
def test_the_answer_is_what_the_table_says(
    given: list[tuple[str, tuple[str, str], str]], listed: list[str], bounded: list[str], object_id: str
) -> None:
    made = [
        grant(pattern, subject=subject) if kind == "grant" else rule(pattern, kind, subject=subject)
        for pattern, subject, kind in given
    ]
    who = principal(models=tuple(listed), bounds=(Bound("team", tuple(bounded)),))

    allowed = may(who, object_id, *made)

    def fits(pattern: str) -> bool:
        return fnmatch.fnmatchcase(object_id, pattern)

    own = [(pattern, kind) for pattern, subject, kind in given if subject != ("user", "bob")]
    is_in_lists = all(not one or any(map(fits, one)) for one in (listed, bounded))
    is_restricted = any(kind == "allow" for _, kind in own)
    is_permitted = not is_restricted or ("allow" in {kind for pattern, kind in own if fits(pattern)})
    is_denied = "deny" in {kind for pattern, kind in own if fits(pattern)}
    is_granted = "grant" in {kind for pattern, kind in own if fits(pattern)}
    assert allowed is (not is_denied and ((is_in_lists and is_permitted) or is_granted))


@pytest.mark.parametrize(
    ("models", "rules", "is_allowed"),
    [
        ((), (), False),
        (("*",), (), False),
        (("openai/*",), (), False),
        (("passthrough/other",), (), False),
        (("passthrough/openai",), (), True),
        (("*", "passthrough/*"), (), True),
        ((), (rule("passthrough/openai"),), True),
        ((), (rule("*"),), False),
        (("passthrough/*",), (rule("passthrough/*", "deny"),), False),
        (("passthrough/*",), (rule("openai/*"),), False),
        (("gpt",), (grant("passthrough/openai"),), True),
    ],
)
def test_a_pass_through_must_be_named(
    models: tuple[str, ...], rules: tuple[Rule, ...], is_allowed: bool
) -> None:
    ada, made = principal(models=models), config(*rules)

    if is_allowed:
        assert permissions.require_passthrough(ada, "openai", ip="", rules=made) == "passthrough/openai"
        assert decide(ada, Question("model", "passthrough/openai"), rules=made).is_allowed
    else:
        with pytest.raises(PermissionDenied):
            permissions.require_passthrough(ada, "openai", ip="", rules=made)


def test_a_teams_list_bounds_the_pass_through() -> None:
    bounded = principal(models=("passthrough/*",), bounds=(Bound("team", ("gpt",)),))

    with pytest.raises(PermissionDenied, match="team"):
        permissions.require_passthrough(bounded, "openai", ip="")
