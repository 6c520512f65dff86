"""Whether a page is fit for everybody: no complaint, nothing beside the window, and nothing that axe finds.

page.open(f"{live_server.url}/admin/")
assert_good(page)
"""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any

from tests.browser.chromium import Page

TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
IMPACTS = ("serious", "critical")
NODES_SHOWN = 5


@functools.cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def assert_good(page: Page) -> None:
    """No error in its console or policy, no scrolling sideways, no fault in its present state."""
    where = page.evaluate("location.pathname + location.search")
    assert page.complaints == [], where
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), where
    assert faults(page) == [], where


def faults(page: Page) -> list[str]:
    """Serious and critical violations of WCAG 2.x, levels A and AA: impact, rule, help, and where.

    The script is evaluated, not included by a tag, which the admin's content policy forbids. What moves is
    brought to its end before, so that a colour in the middle of a transition is not measured.
    """
    page.evaluate(
        "Promise.race([Promise.allSettled(document.getAnimations().map((one) => one.finished)),"
        " new Promise((done) => setTimeout(done, 1000))])"
    )
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(_axe() + ";undefined")
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    found = page.evaluate(
        f"axe.run(document, {json.dumps(options)}).then((answer) => answer.violations.map((one) => ({{"
        "impact: one.impact, id: one.id, help: one.help,"
        " nodes: one.nodes.map((node) => `${node.target.join(' ')} (${node.html.slice(0, 120)})`)})))"
    )
    return [_line(one) for one in found if one["impact"] in IMPACTS]


def _line(violation: dict[str, Any]) -> str:
    nodes = violation["nodes"]
    more = f" and {len(nodes) - NODES_SHOWN} more" if len(nodes) > NODES_SHOWN else ""
    where = "; ".join(nodes[:NODES_SHOWN])
    return f"{violation['impact']} {violation['id']}: {violation['help']} at {where}{more}"
