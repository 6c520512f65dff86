"""Rows for the admin's lists."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from axes.models import AccessAttempt
from django.contrib.auth.models import Permission, User

from agents_app.models import Agent, DropInPolicy, Run, RunStep
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import uuid7, uuid7_time
from security_app.models import (
    AccessGroup,
    AccessRule,
    ApiKey,
    Budget,
    ContentPolicy,
    EndUser,
    ExternalAuthorizer,
    Finding,
    GatewayUser,
    IdentityProvider,
    Limit,
    Membership,
    Organization,
    Team,
    TokenIssuer,
)
from security_app.services.keys import create_key
from tools_app.models import McpServer, McpTool, Tool
from upstreams_app.models import CachePolicy, HealthSample, Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.services.states import note_states
from usage_app.models import (
    Alert,
    AlertChannel,
    AlertMessage,
    AlertRule,
    Bucket,
    KeyUse,
    Price,
    PriceChange,
    Report,
    ReportExport,
    SpendCounter,
    UsageRecord,
    UsageSink,
)

SECRET = "sk-vendor-0123456789abcdef-secret"


def upstream(name: str = "vendor", url: str = "https://vendor.example", secret: str = SECRET) -> Upstream:
    """A saved upstream with a stored credential."""
    row = Upstream(name=name, kind="openai-compatible", base_url=url)
    row.set_api_key(secret)
    row.save()
    return row


def model(of: Upstream, name: str = "chat") -> UpstreamModel:
    """A saved model."""
    return UpstreamModel.objects.create(upstream=of, name=name)


def probe(
    of: Upstream, *, is_healthy: bool = True, at: datetime | None = None, error: str = ""
) -> HealthSample:
    """A saved probe result, and the state that follows from it."""
    sample = HealthSample.objects.create(
        upstream=of,
        at=at or utc_now(),
        is_healthy=is_healthy,
        latency_ms=12.0 if is_healthy else None,
        error=error,
    )
    note_states([of.pk])
    return sample


def one_of_each(number: int = 0) -> None:
    """A row of every kind, connected as they are in life."""
    now = utc_now()
    key: ApiKey = create_key(actor="test", name=f"key {number}", allowed_models=["vendor/*"]).row
    AccessGroup.objects.create(name=f"group-{number}", model_patterns=["vendor/*"])
    AccessRule.objects.create(
        name=f"rule {number}", object_kind="model", pattern=f"group:group-{number}", effect="deny"
    )
    Limit.objects.create(subject_kind="key", subject_id=key.pk.hex, value=60)
    Budget.objects.create(budget_id=f"b{number}", subject_kind="key", subject_id=key.pk.hex, amount=5)
    ContentPolicy.objects.create(subject_kind="key", subject_id=key.pk.hex, stores_texts=True)
    Finding.objects.create(
        source="keys_unused", kind="key_unused", severity="info", object_id=key.pk.hex, object_name=key.name
    )
    KeyUse.objects.create(key_id=key.pk, last_used_at=now, requests=3)
    people(number)
    vendor = upstream(f"vendor-{number}")
    chat = model(vendor)
    probe(vendor, at=now - timedelta(seconds=30))
    probe(vendor, at=now)
    route = Route.objects.create(name=f"route-{number}")
    RouteTarget.objects.create(route=route, model=chat)
    CachePolicy.objects.create(model=route.name)
    Agent.objects.create(slug=f"default/agent-{number}")
    DropInPolicy.objects.create(namespace=f"team-{number}")
    config = {"method": "GET", "url": "http://127.0.0.1:9/orders"}
    parameters = {"type": "object", "properties": {"id": {"type": "integer"}}}
    Tool.objects.create(
        name=f"orders-{number}", kind="http", description="Finds.", config=config, parameters=parameters
    )
    server = McpServer.objects.create(name=f"crm-{number}", url="http://127.0.0.1:9/mcp")
    definition = {"name": "find", "description": "Finds.", "inputSchema": {"type": "object"}}
    McpTool.objects.create(
        server=server,
        name="find",
        exposed_name=f"{server}__find",
        definition=definition,
        fingerprint="0" * 64,
        seen=definition | {"description": "Finds more."},
        seen_fingerprint="1" * 64,
        state="quarantined",
        findings=[{"kind": "hidden_instruction", "message": "It asks for something."}],
    )
    AccessAttempt.objects.create(username=f"mallory-{number}", ip_address="192.0.2.1", failures_since_start=1)
    run(f"default/agent-{number}")
    alert(number)
    bucket = Bucket.objects.create(name=f"archive-{number}", bucket="usage")
    UsageSink.objects.create(name=f"lake-{number}", kind="s3", bucket=bucket)
    Price.objects.create(model=str(chat), valid_from=now, input="1", output="2")
    PriceChange.objects.create(
        model=str(chat), kind="new", rates={"input": "1.000000000"}, listed_as="x y", found_at=now
    )
    report = Report.objects.create(name=f"report {number}", owner="test")
    query = {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z", "time_zone": "UTC"}
    ReportExport.objects.create(report=report, title=report.name, format="csv", query=query)
    SpendCounter.objects.create(scope="model", scope_id=str(chat), window_start=now)
    UsageRecord.objects.create(
        at=now, operation="chat", model=str(chat), key_id=key.pk, status=200, state="reported"
    )


def people(number: int) -> None:
    """A user in a team of an organization, an end user, and who signs tokens."""
    organization = Organization.objects.create(name=f"organization {number}")
    team = Team.objects.create(name=f"team {number}", organization=organization, allowed_models=["a/*"])
    user = GatewayUser.objects.create(user_id=f"user-{number}", email=f"user{number}@example.org")
    Membership.objects.create(team=team, user=user)
    create_key(actor="test", name=f"team key {number}", team=team, user_id=user.user_id)
    EndUser.objects.create(end_user_id=f"end-user-{number}")
    TokenIssuer.objects.create(name=f"issuer {number}")
    url = f"https://id-{number}.example.org/"
    authorizer = ExternalAuthorizer(name=f"policy {number}", url="https://policy.example.org/ask")
    authorizer.set_secret("0123456789abcdef" * 2)
    authorizer.save()
    IdentityProvider.objects.create(name=f"identities {number}", issuer=url, audiences=["gateway"])


def alert(number: int) -> Alert:
    """An alert that lasts, of a rule that tells one channel."""
    channel = AlertChannel.objects.create(name=f"ops-{number}", kind="mail", recipients=["ops@example.org"])
    rule = AlertRule.objects.create(name=f"spend-{number}", kind="cost", threshold="2")
    rule.channels.add(channel)
    values = {"rule_name": rule.name, "kind": "cost", "value": "3", "threshold": "2"}
    found = Alert.objects.create(rule=rule, **values)
    AlertMessage.objects.create(alert=found, channel=channel, event="opened")
    return found


def run(agent: str = "default/helper", *, id: UUID | None = None, **columns: object) -> Run:
    """A run with a step of each kind, of two calls, the second of which failed, and their records."""
    run_id = id or uuid7()
    facts = {"operation": "chat", "model": agent, "state": "reported"}
    at = uuid7_time(run_id)
    row = Run.objects.create(
        id=run_id,
        started_at=at,
        agent=agent,
        duration_ms=1000,
        cost="0.0012",
        **{"status": 502, "error_code": "upstream_failed", "turns": 1, "llm_calls": 2} | columns,
    )
    UsageRecord.objects.create(id=run_id, at=at, kind="agent", status=row.status, **facts)
    kinds: list[tuple[str, str, int | None]] = [
        ("agent", "Helper", None),
        ("guardrail", "look", 1),
        ("turn", "Turn 1", 1),
        ("llm", "vendor-0/chat", 3),
        ("tool", "act", 3),
        ("agent_as_tool", "ask", 3),
        ("llm", "vendor-0/chat", 6),
        ("handoff", "Helper → Other", 3),
        ("custom", "anything", None),
    ]
    for number, (kind, name, parent) in enumerate(kinds, 1):
        step = RunStep(run=row, number=number, parent=parent, kind=kind, name=name, status="ok")
        step.start_ms, step.duration_ms = 100.0 * number, 90.0
        if kind == "llm":
            step.request_id = uuid7()
            step.model, step.upstream, step.upstream_model = name, "vendor-0", "chat"
            step.input_tokens, step.output_tokens, step.cost = 1200, 30, "0.0006"
            step.status = "ok" if parent == 3 else "error"
            step.content = {"input": "What was asked.", "output": "What was said."}
            call = {**facts, "model": name, "parent_id": run_id}
            UsageRecord.objects.create(id=step.request_id, at=uuid7_time(step.request_id), status=200, **call)
        step.save()
    return row


def permit(user: User, *codenames: str) -> None:
    """Give a person permissions by their names."""
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
