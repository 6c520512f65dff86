"""Texts of runs: kept where a policy and the agent say so, masked first, and gone in time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from agents import Agent
from agents_app.models import Run, RunStep
from agents_app.services.run_lines import decode_run
from agents_app.services.run_retention import purge_content
from agents_app.services.run_store import RunLines
from agents_app.trace import MAX_TEXT, OK, TOOL, Recorder
from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import Section
from security_app.registry.content import ContentConfig, ContentRule
from security_app.services.content import masked
from tests.agents.answers import says
from tests.agents.inprocess import Setup, in_process, outcome, records
from tests.agents.run_lines import make_line
from tests.fakes.vendor import FakeVendor
from tests.usage.entries import ALICE, id_at

pytestmark = pytest.mark.django_db
STORING = ContentRule(stores_texts=True, retention_days=2)
SECRET = "sk-proj-abcdefghij0123456789"
MASK = partial(masked, rule=STORING)


def ran(vendor: FakeVendor, rules: dict[tuple[str, str], ContentRule], *, records_content: bool) -> Run:
    """The rows of a run under these policies; its agent is told an address and a secret."""
    agent = Agent(name="Helper", instructions=f"Write to ann@example.org with\n{SECRET}")
    ids = []

    async def work(setup: Setup) -> None:
        content = Section(ContentConfig(rules), 1)
        setup.config = replace(setup.config, sections={**setup.config.sections, "content": content})
        run = setup.run(agent, records_content=records_content)
        ids.append(setup.context.request_id)
        await outcome(run, is_stream=False)

    vendor.script(says("Mail bob@example.org."))
    in_process(vendor, work)
    records(ids[0])
    return Run.objects.get(id=ids[0])


def test_texts_are_masked_before_they_are_stored_and_have_an_end(vendor: FakeVendor) -> None:
    run = ran(vendor, {("key", ALICE.hex): STORING}, records_content=True)

    content = run.steps.get(kind="llm").content or {}
    assert "Write to [e-mail] with" in content["input"]
    assert "[secret]" in content["input"]
    assert "Mail [e-mail]" in content["output"]
    assert "@example.org" not in str(content)
    assert SECRET not in str(content)
    assert run.content_until == run.started_at + timedelta(days=2)


@pytest.mark.parametrize(
    ("rules", "records_content"),
    [
        ({}, True),
        ({("everyone", ""): STORING, ("key", ALICE.hex): ContentRule(stores_texts=False)}, True),
        ({("everyone", ""): STORING}, False),
    ],
    ids=["no policy", "not of this key", "not of this agent"],
)
def test_one_no_is_enough(
    vendor: FakeVendor, rules: dict[tuple[str, str], ContentRule], records_content: bool
) -> None:
    run = ran(vendor, rules, records_content=records_content)

    assert not run.steps.filter(content__isnull=False).exists()
    assert run.content_until is None


def with_text() -> Recorder:
    """A recorder of one step with a text."""
    recorder = Recorder(keeps_content=True, mask=MASK)
    step = recorder.begin(TOOL, "tool")
    recorder.keep(step, "input", "the text")
    recorder.end(step, OK)
    return recorder


def test_texts_go_before_their_runs_do() -> None:
    now = utc_now()
    ages = {1: timedelta(days=2, minutes=1), 2: timedelta(days=1, hours=23)}
    for number, age in ages.items():
        line = make_line(with_text(), id=id_at(now - age, number), content_days=2)
        RunLines().store([decode_run(line[:-1])])

    assert purge_content() == 1

    assert Run.objects.count() == RunStep.objects.count() == 2
    kept = RunStep.objects.get(content__isnull=False)
    assert kept.run_id == id_at(now - ages[2], 2)
    emptied = Run.objects.exclude(id=kept.run_id).get()
    assert (emptied.content_until, emptied.steps.get().content) == (None, None)
    assert purge_content() == 0


def test_a_text_of_an_unknown_policy_goes_at_once() -> None:
    RunLines().store([decode_run(make_line(with_text())[:-1])])

    assert purge_content() == 1
    assert not RunStep.objects.filter(content__isnull=False).exists()


@pytest.mark.parametrize("cut", range(1, 40, 3))
@pytest.mark.parametrize("secret", [SECRET, "ann.example@mail.example.org", "4111 1111 1111 1111"])
@pytest.mark.parametrize("before", ["", "a@b.example " * 20], ids=["long", "shrinks"])
def test_a_cut_leaves_no_half_of_what_is_masked(secret: str, cut: int, before: str) -> None:
    text = (before + "-" * MAX_TEXT)[: MAX_TEXT + 256 * bool(before) - cut] + " " + secret + " and more" * 100
    theirs = Recorder(keeps_content=True, is_for_another=True)
    ours, over = (Recorder(keeps_content=True, mask=MASK) for _ in range(2))
    for recorder in (theirs, ours):
        recorder.keep(recorder.begin(TOOL, "tool"), "input", text)

    for step in theirs.steps:
        over.add(step.plain(theirs.started))

    for recorder in (ours, over):
        (content,) = (step.content or {} for step in recorder.steps)
        assert len(content["input"]) <= MAX_TEXT
        for length in range(5, len(secret) + 1):
            assert secret[:length] not in content["input"]
