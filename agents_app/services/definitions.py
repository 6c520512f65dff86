"""Making, changing, rolling back and deleting declared agents, for the API and the admin alike.

What is checked here is checked under the lock of the section's version, so that of two changes at once the
second sees the first: together they make no cycle.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import transaction

from agents_app.definition import FIELDS, Definition, check
from agents_app.entry import IN_PROCESS
from agents_app.folders import is_slug
from agents_app.guards import find_guard_kind, guard_kind_names
from agents_app.models import Agent, AgentLink
from agents_app.services.links import replace_links, resolve_links
from agents_app.services.management import model_problem, set_operator_fields
from agents_app.services.versions import (
    NO_VERSIONS,
    current_definition,
    find_version,
    read_definition,
    write_version,
)
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit, store
from tools_app.services.management import existing_tools
from upstreams_app.models import Route, Upstream

logger = logging.getLogger(__name__)
# Paths of the management API end in these words.
_RESERVED_NAMES = ("errors", "refresh", "rollback", "versions")
_MAX_NAMED = 10


def create_agent(
    agent_id: str, definition: Definition, *, actor: str, note: str = "", **values: Any
) -> Agent:
    """Declare an agent; `values` are operators' fields, or `pk`. InvalidRequest, or Conflict for its id."""
    check_id(agent_id)
    row, definition = Agent(slug=agent_id), normal(definition)
    row.pk = values.pop("pk", row.pk)
    with _locked():
        check_id_is_free(agent_id)
        set_operator_fields(row, values)
        _check_operators_fields(row, is_declared=True)
        links = check_definition(row, definition, before=None)
        row.model = definition.model
        # Constraints want the agent before its version, and the version before its number.
        row.save(force_insert=True)
        write_version(row, definition, actor=actor, note=note)
        row.save(update_fields=["version"])
        replace_links(row, links)
        refresh_after_commit()
    logger.info("agent.created", extra={"agent": agent_id, "actor": actor})
    return row


def change_agent(
    row: Agent, *, actor: str, note: str = "", based_on: int | None = None, **values: Any
) -> Agent:
    """Change fields of an agent: those of operators, and of a declared one those of its definition.

    A definition that is another than before is a new version. InvalidRequest and ValidationError name the
    field; a drop-in's definition is its code's. With `based_on`, the version that somebody looked at, it is a
    Conflict if that is not the one in force any more.
    """
    of_definition = FIELDS if row.is_declared else [name for name in FIELDS if name != "model"]
    defined = {name: values.pop(name) for name in of_definition if name in values}
    if defined and not row.is_declared:
        name = next(iter(defined))
        raise InvalidRequest(f"A drop-in's code says what its '{name}' is.", param=name)
    with _locked():
        _read_again(row)
        if based_on is not None and row.version != based_on:
            raise Conflict(f"Somebody made version {row.version} of the agent meanwhile.", param="version")
        names = set_operator_fields(row, values)
        _check_operators_fields(row, is_declared=row.is_declared)
        if defined:
            before = _definition_now(row, is_whole=len(defined) == len(FIELDS))
            names += _redefine(row, replace(before, **defined), before, actor=actor, note=note)
        if names:
            row.save(update_fields=names)
        refresh_after_commit()
    if names:
        fields = sorted({*names, *defined})
        logger.info("agent.changed", extra={"agent": row.slug, "fields": fields, "actor": actor})
    return row


def roll_back(row: Agent, number: int, *, actor: str) -> Agent:
    """Make an older version the newest one, if it still can be; the same checks as of any change."""
    with _locked():
        _read_again(row)
        before = _definition_now(row)
        wanted = read_definition(find_version(row, number))
        names = _redefine(row, wanted, before, actor=actor, note=f"Rolled back to version {number}.")
        if names:
            row.save(update_fields=names)
        refresh_after_commit()
    if names:
        logger.info("agent.rolled_back", extra={"agent": row.slug, "version": number, "actor": actor})
    return row


def delete_agent(row: Agent, *, actor: str) -> None:
    """Delete a declared agent with its versions; Conflict while others link to it, or if it is a drop-in."""
    if not row.is_declared:
        raise Conflict("A drop-in goes with its folder.", param="id")
    with _locked():
        _read_again(row)
        if users := linked_by(row):
            raise Conflict(f"These agents link to '{row.slug}': {', '.join(users)}.", param="id")
        slug = row.slug
        row.delete()
        refresh_after_commit()
    logger.info("agent.deleted", extra={"agent": slug, "actor": actor})


def linked_by(row: Agent) -> list[str]:
    """Agents whose links lead to this one; a few of many."""
    links = AgentLink.objects.filter(target=row).order_by("agent__slug")
    return list(links.values_list("agent__slug", flat=True).distinct()[:_MAX_NAMED])


def check_id(agent_id: str) -> None:
    """InvalidRequest if a text can't be the id of a declared agent."""
    namespace, slash, name = agent_id.partition("/")
    if not slash or not is_slug(namespace) or not is_slug(name):
        what = "each of a-z, 0-9, _ and -, with a letter or digit, and at most 99 long"
        raise InvalidRequest(f"An id is 'namespace/name', {what}.", param="id")
    if name in _RESERVED_NAMES:
        raise InvalidRequest(f"No agent can be named '{name}'.", param="id")


def check_id_is_free(agent_id: str) -> None:
    """Namespaces, upstreams and routes share one name space; Conflict if the id is taken."""
    namespace = agent_id.partition("/")[0]
    if Upstream.objects.filter(name=namespace).exists():
        raise InvalidRequest(f"The namespace '{namespace}' is the name of an upstream.", param="id")
    if Route.objects.filter(name__in=(agent_id, namespace)).exists():
        raise Conflict(f"A route is named '{agent_id}' or '{namespace}' already.", param="id")
    if Agent.objects.filter(slug=agent_id).exists():
        raise Conflict(f"There is an agent '{agent_id}' already.", param="id")


def check_definition(row: Agent, definition: Definition, *, before: Definition | None) -> list[AgentLink]:
    """All that must hold of a definition, and the rows of its links; InvalidRequest names the field.

    A model or a tool that went away since does not stop other changes.
    """
    check(definition)
    is_new_model = before is None or definition.model != before.model
    if is_new_model and (problem := model_problem(definition.model)):
        raise InvalidRequest(problem, param="model")
    _check_tools(definition.tools, known=before.tools if before is not None else ())
    for number, name in enumerate(definition.guardrails):
        if find_guard_kind(name) is None:
            known = ", ".join(guard_kind_names()) or "none yet"
            message = f"There is no kind of guardrail '{name}'; there are: {known}."
            raise InvalidRequest(message, param=f"guardrails[{number}]")
    return resolve_links(row, definition)


def _check_tools(names: tuple[str, ...], *, known: tuple[str, ...]) -> None:
    """Tools are looked up for each run, so one that is off counts as any other."""
    there = {*known, *existing_tools(names)}
    for number, name in enumerate(names):
        if name not in there:
            raise InvalidRequest(f"There is no tool '{name}'.", param=f"tools[{number}]")


def normal(definition: Definition) -> Definition:
    """As it is stored, so that what says the same is the same."""
    plain = Definition.of_image(json.loads(definition.text()))
    return replace(plain, model=plain.model.strip(), display_name=plain.display_name.strip())


@contextmanager
def _locked() -> Iterator[None]:
    """A transaction that no other change of agents happens beside."""
    if not store.is_loaded:
        # Not inside: a snapshot must not hold what may be rolled back.
        store.refresh()
    with transaction.atomic():
        ConfigVersion.bump(Agent.config_section)
        yield


def _read_again(row: Agent) -> None:
    try:
        row.refresh_from_db()
    except Agent.DoesNotExist as error:
        raise NotFound("There is no such agent any more.", param="id") from error


def _definition_now(row: Agent, *, is_whole: bool = True) -> Definition:
    """What is in force; an empty one if that can't be read, so that a change or an older version mends it.

    Conflict if the change is not of the whole: guardrails must not go because nobody can read them.
    """
    if not row.is_declared:
        raise NotFound(NO_VERSIONS, param="id")
    try:
        return replace(current_definition(row), model=row.model)
    except NotFound as error:
        if not is_whole:
            message = "go back to a version that can be read, or give the whole definition"
            raise Conflict(f"{error.message[:-1]}: {message}.", param="version") from error
        return Definition(model=row.model)


def _check_operators_fields(row: Agent, *, is_declared: bool) -> None:
    """What an operator may not say of this agent."""
    if row.isolation != IN_PROCESS and is_declared:
        raise InvalidRequest("A declared agent has no code to isolate.", param="isolation")
    if row.members and is_declared:
        raise InvalidRequest("A declared agent has links, and no members.", param="members")
    if row.isolation != IN_PROCESS and (users := linked_by(row)):
        message = f"These agents link to it, and need it in their process: {', '.join(users)}."
        raise InvalidRequest(message, param="isolation")


def _redefine(row: Agent, wanted: Definition, before: Definition, *, actor: str, note: str) -> list[str]:
    """Give a locked agent another definition; the columns that changed, none if it is the same one."""
    wanted = normal(wanted)
    if wanted.text() == before.text():
        return []
    links = check_definition(row, wanted, before=before)
    write_version(row, wanted, actor=actor, note=note)
    replace_links(row, links)
    row.model = wanted.model
    return ["model", "version"]
