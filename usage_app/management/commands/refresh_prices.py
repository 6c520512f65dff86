"""`manage.py refresh_prices`: what the catalogue would change in our prices, and its approval."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from usage_app.models import PriceChange
from usage_app.models.rates import STRUCTURED_RATES
from usage_app.services import price_changes
from usage_app.services.published_catalogue import CatalogueUnavailable


class Command(BaseCommand):
    """Compare prices with a catalogue and list what differs; with --approve it holds from now on."""

    help = (
        "Compare the prices of all models with the installed genai-prices catalogue, or the published one, "
        "and list what differs. Nothing costs otherwise until it is approved: here, or in the admin."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which catalogue, and whether its prices hold from now on."""
        parser.add_argument("--published", action="store_true", help="ask for the published catalogue")
        parser.add_argument("--url", default="", help="where that is, if not where its makers have it")
        parser.add_argument("--approve", action="store_true", help="let all changes hold from now on")

    def handle(self, *_: Any, published: bool, url: str, approve: bool, **__: Any) -> None:
        """Print a line for each change, and how many there are."""
        try:
            found = price_changes.refresh_prices(is_published=published, url=url)
        except CatalogueUnavailable as error:
            raise CommandError(f"The catalogue can't be used. {error}") from error
        rows = PriceChange.objects.filter(state=PriceChange.State.OPEN).order_by("model", "valid_from")
        for row in rows.iterator(1000):
            self.stdout.write(_line(row))
        if found.unusable:
            self.stdout.write(f"{found.unusable} of its prices make no sense and were left out.")
        if not found.total:
            self.stdout.write("All prices are as the catalogue has them.")
            return
        counts = f"{found.new} new, {found.changed} changed, {found.removed} removed"
        if approve:
            self.stdout.write(f"Approved: {len(price_changes.approve())} ({counts}).")
        else:
            self.stdout.write(f"{counts}. Nothing holds yet: approve with --approve, or in the admin.")


def _line(row: PriceChange) -> str:
    shown = [
        f"{name} {row.before.get(name, '–')} → {row.rates.get(name, '–')}"
        for name in (*row.before, *(name for name in row.rates if name not in row.before))
        if name not in STRUCTURED_RATES and row.before.get(name) != row.rates.get(name)
    ]
    others = [name for name in STRUCTURED_RATES if row.before.get(name) != row.rates.get(name)]
    since = "" if row.valid_from is None else f" from {row.valid_from:%Y-%m-%d}"
    return f"{row.kind:8} {row.model}{since}: {', '.join([*shown, *others])}"
