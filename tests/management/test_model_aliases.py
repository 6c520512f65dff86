"""Names for models of keys and teams over HTTP and in the admin, in force at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from security_app.models import ApiKey, Team
from security_app.services.authentication import authenticate_in
from security_app.services.configuration import store
from tests.management.caller import Caller

pytestmark = pytest.mark.django_db(transaction=True)


def test_names_of_a_key_and_its_team_are_in_force_at_once(admin: Caller) -> None:
    team = admin.ok(
        "POST", "/team/new", {"model_aliases": {"gpt-4": "team", "big": "team"}, "metadata": {"zone": "eu"}}
    )
    made = admin.ok(
        "POST",
        "/key/generate",
        {"team_id": team["team_id"], "aliases": {"gpt-4": "own"}, "metadata": {"plan": "gold", "tags": [1]}},
    )

    facts = authenticate_in(store.current, made["key"]).facts

    assert (made["aliases"], team["model_aliases"]["big"]) == ({"gpt-4": "own"}, "team")
    assert facts is not None
    assert facts.aliases == {"gpt-4": "own", "big": "team"}
    assert (facts.metadata, facts.team_metadata) == ({"plan": "gold"}, {"zone": "eu"})

    admin.ok("POST", "/team/update", {"team_id": team["team_id"], "model_aliases": {}, "metadata": {}})
    changed = {"key": made["key"], "aliases": {}, "metadata": {}}
    assert admin.ok("POST", "/key/update", changed)["aliases"] == {}
    assert authenticate_in(store.current, made["key"]).facts is None


@pytest.mark.parametrize(
    "aliases", [{"": "m"}, {"a": ""}, {" a": "m"}, {"a": "m\n"}, {str(number): "m" for number in range(51)}]
)
def test_names_that_nobody_could_use_are_refused(admin: Caller, aliases: dict[str, Any]) -> None:
    assert admin.refused("POST", "/key/generate", {"aliases": aliases})["status"] == 400
    assert admin.refused("POST", "/team/new", {"model_aliases": aliases})["status"] == 400
    assert not ApiKey.objects.exists()


def test_the_admin_has_a_field_for_them(admin_client: Client) -> None:
    team = Team.objects.create(name="own", model_aliases={"gpt-4": "fast"})

    page = admin_client.get(f"/admin/security_app/team/{team.pk}/change/").content.decode()
    of_key = admin_client.get("/admin/security_app/apikey/add/").content.decode()

    assert "&quot;gpt-4&quot;: &quot;fast&quot;" in page
    assert 'name="model_aliases"' in of_key
