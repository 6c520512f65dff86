"""The pins of keys as the management API takes and shows them, and as each process knows them."""

from __future__ import annotations

from typing import Any

from security_app.models import ApiKey
from security_app.services.configuration import store
from security_app.services.keys import create_key
from tests.agents.declared import BILLING
from tests.agents.pins import key, policy
from tests.management.caller import Caller


def test_keys_with_the_same_pins_share_their_rules(admin: Caller) -> None:
    several = [key(admin, a=1, b=2), key(admin, b=2, a=1), key(admin, a=1)]
    store.refresh(everything=True)

    first, second, third = map(policy, several)

    assert first.agent_versions == second.agent_versions == {"desk/a": 1, "desk/b": 2}
    assert third.agent_versions == {"desk/a": 1}
    assert policy(key(admin, a=1)) is third


def test_a_key_with_broken_pins_is_out_of_force(admin: Caller) -> None:
    row = create_key(actor="tests", name="broken").row
    broken: tuple[Any, ...] = ([], ["desk/a"], {"desk/a": "1"}, {"desk/a": True}, {"desk/a": 1.5}, 7)

    for value in broken:
        ApiKey.objects.filter(pk=row.pk).update(agent_versions=value)
        store.refresh()

        section = store.current.sections["security"]
        assert bytes(row.digest) not in section.value.keys
        assert [one.object for one in section.diagnostics] == [f"key broken ({row.public_id})"]


def test_what_is_wrong_with_pins_is_told_at_their_field(admin: Caller) -> None:
    made = key(admin, billing=1)
    ids: tuple[str, ...] = ("billing", "desk/", "Desk/Billing", "desk/a\0", "desk/a/b", f"desk/{'a' * 100}")
    numbers: tuple[Any, ...] = (0, -1, "1", True, 1.5, None, 2**31)
    wrong: list[Any] = [["desk/billing"], "desk/billing", {f"desk/a{number}": 1 for number in range(51)}]
    wrong += [{agent_id: 1} for agent_id in ids]
    wrong += [{BILLING: number} for number in numbers]

    for value in wrong:
        error = admin.refused("POST", "/key/update", {"key": made, "agent_versions": value})

        assert error["status"] == 400, value
        assert str(error["param"]).startswith("agent_versions"), value
    error = admin.refused("POST", "/key/generate", {"agent_versions": {BILLING: 0}})
    assert error["param"] == "agent_versions"
    assert policy(made).agent_versions == {BILLING: 1}


def test_a_key_shows_its_pins(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"agent_versions": {BILLING: 2}, "key_alias": "shop"})

    assert made["agent_versions"] == {BILLING: 2}
    assert admin.ok("GET", f"/key/info?key={made['key_id']}")["info"]["agent_versions"] == {BILLING: 2}
    listed = admin.ok("GET", "/key/list?return_full_object=true&key_alias=shop")["keys"]
    assert [one["agent_versions"] for one in listed] == [{BILLING: 2}]
    changed = admin.ok("POST", "/key/update", {"key": made["key_id"], "agent_versions": {}})
    assert changed["agent_versions"] == {}
