"""Forms of usage sinks and buckets: their secrets never come back."""

from __future__ import annotations

from typing import Any

from django import forms

from gateway_project.admin_base import ModelForm, PasswordWidget
from usage_app.models import Bucket, UsageSink
from usage_app.services.sinks.checks import MAX_SECRET, MAX_URL, Problems, bucket_problems, sink_problems


def _secret_field(label: str, *, max_length: int, help_text: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        max_length=max_length,
        widget=PasswordWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=f"{help_text} Stored encrypted and not shown again; leave it empty to keep what is stored.",
    )


def _tell(form: forms.ModelForm[Any], problems: Problems) -> None:
    for name, text in problems.items():
        if name not in form.errors:
            form.add_error(name, text)


class UsageSinkForm(ModelForm[UsageSink]):
    """Adds and changes sinks: a webhook and a collector have a URL, S3 a bucket."""

    url = _secret_field(
        "URL", max_length=MAX_URL, help_text="Of a webhook, or of a collector with its path (/v1/logs)."
    )
    secret = _secret_field(
        "Secret",
        max_length=MAX_SECRET,
        help_text="Of a webhook: whsec_ and base64, with which batches are signed. Of a collector: its "
        "headers, as name=value,name=value. Give it again when the URL changes.",
    )

    class Meta:
        model = UsageSink
        fields = ("name", "kind", "bucket", "team", "model_pattern", "batch_size", "is_enabled")

    def _post_clean(self) -> None:
        """What belongs together is checked on the row as the form would leave it."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; its stubs leave it out.
        url, secret = str(self.cleaned_data.get("url", "")).strip(), self.cleaned_data.get("secret") or None
        if "kind" in self.cleaned_data:
            _tell(self, sink_problems(self.instance, url=url, secret=secret))

    def save(self, commit: bool = True) -> UsageSink:
        """With the secrets that were entered."""
        if url := self.cleaned_data["url"].strip():
            self.instance.set_url(url)
        if self.cleaned_data["secret"]:
            self.instance.set_secret(self.cleaned_data["secret"])
        row: UsageSink = super().save(commit)
        return row


class BucketForm(ModelForm[Bucket]):
    """Adds and changes buckets."""

    credential = _secret_field(
        "Credential",
        max_length=MAX_SECRET,
        help_text="ACCESS_KEY_ID:SECRET; without one the machine’s own AWS identity is used. Give it again "
        "when the endpoint changes.",
    )

    class Meta:
        model = Bucket
        fields = ("name", "bucket", "region", "endpoint", "prefix", "is_enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored_endpoint = self.instance.endpoint

    def _post_clean(self) -> None:
        """What belongs together is checked on the row as the form would leave it."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; its stubs leave it out.
        credential = self.cleaned_data.get("credential") or None
        _tell(
            self,
            bucket_problems(self.instance, credential=credential, stored_endpoint=self._stored_endpoint),
        )

    def save(self, commit: bool = True) -> Bucket:
        """With the credential that was entered."""
        if self.cleaned_data["credential"]:
            self.instance.set_credential(self.cleaned_data["credential"])
        row: Bucket = super().save(commit)
        return row
