"""Work beside the server: probing all upstreams, dropping old samples, the schedule."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import settings

from gateway_project.celery import app
from gateway_project.core.clock import utc_now
from tests.management.caller import Caller
from tests.management.model_server import ModelServer
from upstreams_app.models import HealthSample, Upstream
from upstreams_app.services import probe_rounds, probes
from upstreams_app.tasks import probe_due, purge_health_samples


def test_every_enabled_upstream_is_probed(admin: Caller, vendor: ModelServer) -> None:
    for name, url, is_enabled in (
        ("good", vendor.url, True),
        ("gone", "http://127.0.0.1:9", True),
        ("off", vendor.url, False),
    ):
        body = {"name": name, "kind": "openai-compatible", "base_url": url, "is_enabled": is_enabled}
        admin.ok("POST", "/upstreams", body)
    admin.ok("POST", "/upstreams", {"name": "demo", "kind": "demo"})

    assert probe_due() == 3

    states = dict(HealthSample.objects.values_list("upstream__name", "is_healthy"))
    assert states == {"good": True, "gone": False, "demo": True}


@pytest.mark.django_db
def test_no_result_waits_for_an_upstream_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mute", "good"):
        Upstream.objects.create(name=name, kind="demo")
    kept: list[set[str]] = []
    is_kept = threading.Event()

    def note(_keys: list[UUID]) -> set[UUID]:
        kept.append(set(HealthSample.objects.values_list("upstream__name", flat=True)))
        is_kept.set()
        return set()

    def ask(row: Upstream) -> probes.ModelsAnswer:
        error = "" if row.name == "good" or is_kept.wait(10) else "nothing was kept meanwhile"
        return probes.ModelsAnswer(200, b"", 1.0, error)

    monkeypatch.setattr(probe_rounds, "note_states", note)
    monkeypatch.setattr(probe_rounds, "ask_for_health", ask)
    monkeypatch.setattr(probe_rounds, "_KEEP_EVERY_S", 0.01)

    samples = probe_rounds.probe_all()

    assert [sample.error for sample in samples] == ["", ""]
    assert kept[0] == {"good"}
    assert kept[-1] == {"good", "mute"}


def test_probing_changes_no_configuration(admin: Caller, vendor: ModelServer) -> None:
    admin.ok("POST", "/upstreams", {"name": "good", "kind": "openai-compatible", "base_url": vendor.url})
    version = Upstream.objects.get().changed_version

    probe_due()

    assert Upstream.objects.get().changed_version == version


@pytest.mark.django_db
def test_old_samples_go_and_young_ones_stay() -> None:
    row = Upstream.objects.create(name="x", kind="demo")
    hours = settings.HEALTH_RETENTION_HOURS
    for age in (hours + 1, hours * 2, hours - 1):
        HealthSample.objects.create(upstream=row, at=utc_now() - timedelta(hours=age), is_healthy=True)

    assert purge_health_samples() == 2
    assert HealthSample.objects.count() == 1


def test_every_periodic_task_exists_and_expires_before_the_next() -> None:
    app.loader.import_default_modules()

    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] < entry["schedule"]
