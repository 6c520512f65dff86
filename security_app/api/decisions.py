"""`/security/preview`, `/security/override`, `/security/refresh`: why, for a while, and now."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Status

from gateway_project.core.clock import parse_duration, utc_now
from gateway_project.core.errors import InternalError, InvalidRequest, PermissionDenied
from gateway_project.core.ids import parse_public_id, public_id
from security_app.api.access import shown_rule
from security_app.api.auth import actor_name, admin_key, any_key, principal_of
from security_app.api.queries import refuse_unknown_parameters
from security_app.registry import Principal, Rule
from security_app.schemas.access import (
    Override,
    Preview,
    PreviewAnswer,
    Refreshed,
    ShownDecision,
    ShownRule,
    ShownStep,
)
from security_app.services import access, keys
from security_app.services.configuration import store
from security_app.services.permissions import Decision, Question, decide_scope
from security_app.services.subjects import Somebody, explain_all, of_key, of_people

router = Router(tags=["Access"])
_PEOPLE = ("team_id", "organization_id", "user_id", "end_user")
_OBJECTS = ("model", "agent", "tool", "route", "ip")
_GRANT_NAMES = {"valid_until": "until", "note": "reason"}


@router.post(
    "/security/preview",
    auth=any_key,
    response=PreviewAnswer,
    operation_id="preview_decision",
    summary="Ask what would be allowed, and why",
)
def preview(request: HttpRequest, body: Preview) -> PreviewAnswer:
    """A dry run; nothing is called or counted. Without the scope admin a key asks for itself only."""
    caller = principal_of(request)
    is_admin = decide_scope(caller, "admin").is_allowed
    questions = _questions(body)
    if not questions:
        raise InvalidRequest("Say what is asked for: give a model, agent, tool, route or ip.", param="model")
    somebody = _somebody(body) if is_admin else _itself(body, caller)
    decisions = [
        _shown(question, decision, shows_rules=is_admin)
        for question, decision in zip(questions, explain_all(somebody, questions), strict=True)
    ]
    return PreviewAnswer(allowed=all(one.allowed for one in decisions), decisions=decisions)


@router.post(
    "/security/override",
    auth=admin_key,
    response={201: ShownRule},
    operation_id="grant_temporarily",
    summary="Allow something for a while",
)
def override(request: HttpRequest, body: Override) -> Status[ShownRule]:
    """It makes up for what lists and rules leave out, and lifts no denial. Delete its rule to end it."""
    subjects = {name: getattr(body, name) for name in ("key", *_PEOPLE) if getattr(body, name) is not None}
    objects = {name: getattr(body, name) for name in _OBJECTS if getattr(body, name) is not None}
    if len(subjects) != 1:
        raise InvalidRequest(f"Give one of: key, {', '.join(_PEOPLE)}.", param="key")
    if len(objects) != 1:
        raise InvalidRequest(f"Give one of: {', '.join(_OBJECTS)}.", param="model")
    ((subject, reference),) = subjects.items()
    ((kind, pattern),) = objects.items()
    if subject == "key":
        reference = keys.find_key(reference).id.hex
    row = access.grant(
        actor=actor_name(request),
        until=_until(body),
        reason=body.reason,
        names={**_GRANT_NAMES, "subject_id": subject, "pattern": kind},
        subject_kind=subject.removesuffix("_id"),
        subject_id=reference,
        object_kind=kind,
        pattern=pattern,
    )
    return Status(201, shown_rule(row))


@router.post(
    "/security/refresh",
    auth=admin_key,
    response=Refreshed,
    operation_id="refresh_security",
    summary="Read the configuration anew",
)
def refresh(request: HttpRequest) -> Refreshed:
    """All of it, in this process; the others see changes within two seconds by themselves."""
    refuse_unknown_parameters(request)
    access.reload_everything()
    if store.failure is not None:
        raise InternalError("The configuration could not be loaded; the log has the details.")
    snapshot = store.current
    return Refreshed(
        sections={name: section.version for name, section in snapshot.sections.items()},
        problems=[f"{item.object}: {item.message}" for item in snapshot.diagnostics()],
    )


def _questions(body: Preview) -> list[Question]:
    ip = body.ip or ""
    questions = [Question("ip", ip, ip)] if body.ip is not None else []
    if body.route is not None:
        questions.append(Question("route", body.route, ip))
    if body.model is not None:
        questions.append(Question("model", body.model, ip))
    if body.tool is not None:
        tool = Question("tool", body.tool, ip, agent=body.agent or "", arguments=body.arguments)
        questions.append(tool)
    if body.agent is not None:
        questions.append(Question("agent", body.agent, ip))
    return questions


def _somebody(body: Preview) -> Somebody:
    named = [name for name in _PEOPLE if getattr(body, name) is not None]
    if body.key is not None:
        if body.claims is not None:
            raise InvalidRequest("Keys have no claims; give people instead.", param="claims")
        if set(named) - {"end_user"}:
            raise InvalidRequest(
                "A key says itself whose it is; give it alone, or with 'end_user'.", param="key"
            )
        return of_key(keys.find_key(body.key), end_user=body.end_user or "")
    if not named:
        raise InvalidRequest(f"Say who asks: give one of key, {', '.join(_PEOPLE)}.", param="key")
    return of_people(
        team_id=_uuid("team", body.team_id, "team_id"),
        organization_id=_uuid("org", body.organization_id, "organization_id"),
        user_id=body.user_id or "",
        end_user=body.end_user or "",
        claims=body.claims,
    )


def _itself(body: Preview, caller: Principal) -> Somebody:
    if (
        body.key is not None
        or body.claims is not None
        or any(getattr(body, name) is not None for name in _PEOPLE)
    ):
        raise PermissionDenied(
            "This key may ask only for itself; others need the scope 'admin'.", param="key"
        )
    return Somebody(caller)


def _uuid(prefix: str, text: str | None, param: str) -> UUID | None:
    if text is None:
        return None
    found = parse_public_id(prefix, text)
    if found is None:
        raise InvalidRequest("This is no id.", param=param)
    return found


def _until(body: Override) -> datetime:
    if (body.duration is None) == (body.until is None):
        raise InvalidRequest("Give either 'duration' or 'until'.", param="duration")
    if body.until is not None:
        return body.until
    try:
        return utc_now() + parse_duration(body.duration or "")
    except ValueError as error:
        raise InvalidRequest(f"{error}.", param="duration") from error


def _shown(question: Question, decision: Decision, *, shows_rules: bool) -> ShownDecision:
    def rule_id(rule: Rule | None) -> str | None:
        return public_id("rule", rule.id) if rule is not None and shows_rules else None

    steps = []
    for step in decision.checked:
        reason = step.reason if shows_rules or step.rule is None else "an access rule"
        steps.append(
            ShownStep(step=step.name, outcome=step.outcome, reason=reason, rule_id=rule_id(step.rule))  # type: ignore[arg-type]
        )
    return ShownDecision(
        kind=question.kind,  # type: ignore[arg-type]
        object=question.object,
        allowed=decision.is_allowed,
        reason=decision.reason,
        rule_id=rule_id(decision.rule),
        steps=steps,
    )
