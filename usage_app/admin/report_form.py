"""The form of a report, saved or not. The service checks it, also while it is being filled in."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms

from gateway_project.admin_base import CheckboxesWidget, ModelForm, SelectWidget, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError
from usage_app.models import Report
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.periods import FIXED, PERIODS
from usage_app.services.exports.query import GROUPS, ReportQuery
from usage_app.services.reports import check_report

SCHEDULE_FIELDS = ("schedule", "hour", "recipients", "bucket", "is_enabled")
_LABELS = {"user": "user of the key", "state": "how the numbers came about", "end_user": "end user"}
_PERIODS = [*((name, title) for name, (title, _) in PERIODS.items()), (FIXED, "From … to …")]


class ReportForm(ModelForm[Report]):
    """Adds and changes reports."""

    period = forms.ChoiceField(
        choices=_PERIODS,
        initial="last_month",
        widget=SelectWidget,
        help_text="Seen from when the file is made.",
    )
    first_day = forms.DateField(required=False, widget=TextWidget(attrs={"type": "date"}))
    last_day = forms.DateField(
        required=False, widget=TextWidget(attrs={"type": "date"}), help_text="Included."
    )
    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        initial="UTC",
        widget=SelectWidget,
        help_text="Whose days, months and hours are meant.",
    )
    group_by = forms.MultipleChoiceField(
        required=False,
        choices=[(name, _LABELS.get(name, name).capitalize()) for name in GROUPS],
        widget=CheckboxesWidget,
        help_text="A row for each combination. FOCUS has its own: day, owners, key, model, upstream.",
    )
    filters = forms.CharField(
        required=False,
        widget=TextAreaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One a line, such as “model: openai/gpt-4o, openai/gpt-4o-mini” or “team: ” and its id.",
    )
    format = forms.ChoiceField(
        choices=[(one.name, one.title) for one in FORMATS.values()], widget=SelectWidget
    )
    recipients = forms.CharField(
        required=False,
        widget=TextAreaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="E-mail addresses, one a line. They get the files of the schedule.",
    )

    class Meta:
        model = Report
        fields = (
            "name",
            "period",
            "first_day",
            "last_day",
            "time_zone",
            "group_by",
            "filters",
            "format",
            *SCHEDULE_FIELDS,
        )

    class Media:
        js = ("admin_gateway/report_form.js",)
        css = {"all": ("admin_gateway/reports.css",)}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: Report = self.instance
        if not row._state.adding:
            self.initial["filters"] = filter_lines(row.filters)
            self.initial["recipients"] = "\n".join(row.recipients)
        elif "group_by" in self.fields:
            self.initial.setdefault("group_by", ["day", "model"])
        # What the service says of the query; set by a form that is valid.
        self.query: ReportQuery | None = None

    def clean_group_by(self) -> list[str]:
        """In the order of the columns."""
        return [name for name in GROUPS if name in self.cleaned_data["group_by"]]

    def clean_filters(self) -> dict[str, list[str]]:
        """Texts by dimension."""
        return parse_filter_lines(self.cleaned_data["filters"])

    def clean_recipients(self) -> list[str]:
        """Addresses; the service checks each."""
        text = self.cleaned_data["recipients"].replace(",", "\n").replace(";", "\n")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def clean(self) -> dict[str, Any]:
        """Days belong to one period only: those of a period that was chosen before are dropped."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("period") not in (None, FIXED):
            cleaned["first_day"] = cleaned["last_day"] = None
        return cleaned

    def _post_clean(self) -> None:
        """Check the row as the service will, so that what it refuses is an error at a field."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, which the stubs leave out.
        if self.errors:
            return
        for name, value in self.cleaned_data.items():
            setattr(self.instance, name, value)
        try:
            self.query = check_report(self.instance)
        except GatewayError as error:
            name = (error.param or "").partition(".")[0]
            self.add_error(name if name in self.fields else None, error.message)

    def values(self) -> dict[str, Any]:
        """What the service takes."""
        return dict(self.cleaned_data)


class OnceForm(ReportForm):
    """Asks for one file of a report that is not saved."""

    class Meta:
        model = Report
        fields = [name for name in ReportForm.Meta.fields if name not in SCHEDULE_FIELDS]

    recipients = None  # type: ignore[assignment]  # Django's way of leaving out a field that is declared.

    def validate_unique(self) -> None:
        """Saved reports may be called the same."""


def filter_lines(filters: dict[str, list[str]]) -> str:
    """Filters as the form has them."""
    return "\n".join(f"{name}: {', '.join(values)}" for name, values in filters.items())


def parse_filter_lines(text: str) -> dict[str, list[str]]:
    """The inverse of `filter_lines`; ValidationError names the line that is wrong."""
    filters: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, colon, rest = line.partition(":")
        if not colon:
            raise forms.ValidationError(f"“{line.strip()[:100]}” has no colon: write “model: openai/gpt-4o”.")
        values = [value.strip() for value in rest.split(",")]
        filters.setdefault(name.strip().replace(" ", "_").lower(), []).extend(values)
    return filters
