"""What would become of a request: the decision and its reasons, by the function that decides for requests.

No upstream is called, nothing is counted, and nothing is written down. What is known of targets is what this
server process knows now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from time import monotonic

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import NotAnObject, RawFields, dumps, split_object
from gateway_project.core.errors import InvalidRequest, ModelNotFound, NotFound
from gateway_project.core.ids import parse_public_id
from gateway_project.core.snapshot import Snapshot
from security_app.models import ApiKey
from security_app.registry import Principal
from security_app.services.configuration import store
from security_app.services.permissions import Question as Access
from security_app.services.subjects import Somebody, explain_all, of_key, of_people
from upstreams_app.registry import ModelEntry, Target, UpstreamsConfig
from upstreams_app.route_policy import MAX_FALLBACKS
from upstreams_app.routing.facts import TargetFacts
from upstreams_app.routing.plan import Plan
from upstreams_app.routing.selection import BY_CONDITION
from upstreams_app.routing.strategies import Candidate
from upstreams_app.routing.tracker import Groups, Tracker
from upstreams_app.services.client import ClientPool
from upstreams_app.services.deciding import EMBEDDINGS, decide
from upstreams_app.services.facts_exchange import facts_exchange
from upstreams_app.services.hedge_preview import preview_hedge
from upstreams_app.services.questions import Question

_PATHS = {"chat": "/chat/completions", "completions": "/completions", "embeddings": EMBEDDINGS}
# More than that nobody can read.
_MAX_SHOWN_MODELS = 40
FIRST, NEXT, LAST_RESORT, PASSED = "first", "next", "last resort", "passed over"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that nobody sent. `key` is the id or name of a key; without it anybody's is meant."""

    model: str
    body: bytes = b"{}"
    key: str = ""
    end_user: str = ""
    operation: str = "chat"
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """A target, its place in the order (None: it is not asked), and why. Lower scores are better."""

    model_id: str
    priority: int
    weight: int
    outcome: str
    reason: str
    place: int | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class FallbackNode:
    """A model that is asked instead, for which kind of trouble, and what stands in for it in turn."""

    kind: str
    model_id: str
    problem: str
    following: tuple[FallbackNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulated:
    """The decision. `refusal` is why there would be no answer at all, "" if there would be one."""

    model_id: str
    is_route: bool
    strategy: str
    refusal: str
    targets: tuple[Shown, ...]
    fallbacks: tuple[FallbackNode, ...]
    # What becomes of a request that takes long; "" where nothing does.
    hedge: str = ""


def simulate(ask: Ask) -> Simulated:
    """Decide for a request; InvalidRequest or NotFound name the field that is wrong."""
    if not store.is_loaded:
        store.refresh()
    snapshot = store.current
    upstreams: UpstreamsConfig = snapshot.sections["upstreams"].value
    somebody = _somebody(ask)
    facts = somebody.principal.facts
    meant = ask.model if facts is None else facts.aliases.get(ask.model, ask.model)
    entry = upstreams.models.get(meant) or upstreams.aliases.get(meant)
    if entry is None:
        raise ModelNotFound(f"There is no model or route '{meant}'.", param="model")
    question = _question(ask, entry, snapshot, somebody.principal)
    clients = facts_exchange.clients
    groups = _groups(entry, None if clients is None else clients.tracker)
    busy = clients.busy if clients is not None else _nobody_is_busy
    plan = decide(question, entry, groups, busy)
    return Simulated(
        model_id=entry.id,
        is_route=entry.is_route,
        strategy=plan.strategy,
        refusal=_refusal(entry, somebody, plan),
        targets=tuple(_shown_targets(entry, plan, clients)),
        fallbacks=() if question.path == EMBEDDINGS else fallbacks_of(entry, upstreams),
        hedge=preview_hedge(entry, plan, question, busy, None if clients is None else clients.hedges),
    )


def _refusal(entry: ModelEntry, somebody: Somebody, plan: Plan) -> str:
    access = explain_all(somebody, [Access("model", entry.id, "")])[0]
    if not access.is_allowed:
        return access.reason
    if entry.maintenance is not None:
        return "the route is in maintenance"
    if plan.order:
        return ""
    return "no target takes this request" if plan.passed else "all upstreams are in maintenance"


def fallbacks_of(entry: ModelEntry, upstreams: UpstreamsConfig) -> tuple[FallbackNode, ...]:
    """The models that stand in for one, and theirs: each at most once, as a request would ask them."""
    return _following(entry, upstreams, {entry.id}, depth=1)


def _following(
    entry: ModelEntry, upstreams: UpstreamsConfig, seen: set[str], *, depth: int
) -> tuple[FallbackNode, ...]:
    nodes = []
    for kind, model_ids in entry.policy.fallbacks.items():
        for model_id in model_ids:
            if len(seen) >= _MAX_SHOWN_MODELS:
                break
            other = upstreams.models.get(model_id)
            if other is None:
                nodes.append(FallbackNode(kind, model_id, "there is no such model"))
            elif other.mode != entry.mode:
                nodes.append(FallbackNode(kind, model_id, f"it is for {other.mode}"))
            elif other.id in seen:
                nodes.append(FallbackNode(kind, model_id, "it was asked before"))
            else:
                seen.add(other.id)
                deeper = _following(other, upstreams, seen, depth=depth + 1) if depth < MAX_FALLBACKS else ()
                nodes.append(FallbackNode(kind, model_id, "", deeper))
    return tuple(nodes)


def _somebody(ask: Ask) -> Somebody:
    if not ask.key:
        return of_people(end_user=ask.end_user)
    if ask.key.startswith("sk-"):
        raise InvalidRequest("Give the key's id or name, not the key itself.", param="key")
    key_id = parse_public_id("key", ask.key)
    rows = ApiKey.objects.filter(deleted_at=None)
    found = list((rows.filter(name=ask.key) if key_id is None else rows.filter(pk=key_id))[:2])
    if len(found) != 1:
        raise NotFound(f"{'More than one' if found else 'No'} key has this id or name.", param="key")
    return of_key(found[0], end_user=ask.end_user)


def _question(ask: Ask, entry: ModelEntry, snapshot: Snapshot, principal: Principal) -> Question:
    try:
        fields = split_object(ask.body)
    except NotAnObject as error:
        raise InvalidRequest(f"The request must be a JSON object: {error}.", param="request") from error
    headers = {name.lower().encode("latin-1", "replace"): text.encode() for name, text in ask.headers.items()}
    question = Question(
        snapshot,
        principal,
        utc_now().timestamp(),
        _PATHS.get(ask.operation, f"/{ask.operation}"),
        bytes(fields.get("stream", b"")) == b"true",
        lambda: fields,
        headers,
        ask.tags,
        headers.get(b"x-session-id", b"").decode("latin-1"),
        ask.end_user,
        entry.id,
    )
    if entry.treatment is None:
        return question
    treated: RawFields = entry.treatment.resolved(question.values).apply(fields)
    return question._replace(read_fields=lambda: treated)


def _groups(entry: ModelEntry, tracker: Tracker | None) -> Groups:
    """The targets with what is known of them; what is not is not begun: requests run in another thread."""
    candidates = [
        Candidate.of(target, (tracker and tracker.find(target.model_id)) or TargetFacts(target.model_id))
        for target in entry.targets
    ]
    return tuple(
        tuple(group) for _, group in groupby(candidates, key=lambda candidate: candidate.target.priority)
    )


def _nobody_is_busy(_upstream_id: object) -> int:
    return 0


def _shown_targets(entry: ModelEntry, plan: Plan, clients: ClientPool | None) -> Sequence[Shown]:
    shown = []
    barred = {candidate.facts.model_id for candidate in plan.barred}
    for place, candidate in enumerate(plan.order):
        outcome = LAST_RESORT if candidate.facts.model_id in barred else NEXT if place else FIRST
        reason = _why(entry, plan, candidate, place, clients)
        score = plan.scores[place] if place < len(plan.scores) and plan.scores[place] < 1e18 else None
        shown.append(_shown(candidate.target, outcome, reason, place=place + 1, score=score))
    ordered = {candidate.facts.model_id for candidate in plan.order}
    for target in entry.targets:
        if target.model_id not in ordered:
            shown.append(_shown(target, PASSED, _why_passed(plan, target)))
    shown += [_shown(target, PASSED, "its upstream is in maintenance") for target in entry.resting]
    return shown


def _shown(
    target: Target, outcome: str, reason: str, *, place: int | None = None, score: float | None = None
) -> Shown:
    rounded = None if score is None else round(score, 3)
    return Shown(target.model_id, target.priority, target.weight, outcome, reason, place, rounded)


def _why(entry: ModelEntry, plan: Plan, candidate: Candidate, place: int, clients: ClientPool | None) -> str:
    target, facts, _ = candidate
    if candidate in plan.barred:
        left_s = facts.barred_until - monotonic()
        if left_s <= 0:
            return "calls wait for it, and nothing comes"
        state = "its breaker is open" if facts.is_open else "it rests"
        return f"{state} ({facts.why_barred}), for another {max(1, round(left_s))} s"
    limit = target.upstream.max_concurrency
    if limit is not None and clients is not None and clients.busy(target.upstream.id) >= limit:
        return f"its upstream has {limit} calls under way, as many as it may"
    if entry.is_route and place >= entry.policy.max_attempts:
        return f"never asked: the route makes {entry.policy.max_attempts} attempts"
    if place == 0:
        return f"chosen by {plan.strategy}" if len(plan.order) > 1 else "the only one"
    return "if those before it fail"


def _why_passed(plan: Plan, target: Target) -> str:
    why = plan.passed.get(target.model_id)
    if why is None:
        return "another model's vectors are no neighbours of the first one's"
    if why == BY_CONDITION and target.condition is not None:
        return f"its condition does not hold: {target.condition.text}"
    return (
        f"its tags are {', '.join(sorted(target.tags))}" if target.tags else "others have the request's tags"
    )


def body_of(request: Mapping[str, object]) -> bytes:
    """A request's members as they would come from a client."""
    try:
        return dumps(request)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest("The request can't be sent as JSON.", param="request") from error
