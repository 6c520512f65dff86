"""Buckets of object stores that speak S3's protocol: where usage events and reports may be put."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from gateway_project.core.ids import public_id, uuid7
from security_app.models import ConfigModel
from security_app.models.secret import seal, sealed_column, unseal

_CREDENTIAL = "bucket.credential"


class Bucket(ConfigModel):
    """A bucket and how it is reached; without a credential of its own by the machine's AWS identity."""

    config_section = "sinks"
    # Without its credential, which no image has, it would be called as the machine.
    can_be_recreated = False

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    bucket = models.CharField(
        max_length=63,
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z", "This is no name of a bucket.")],
    )
    region = models.CharField(
        max_length=40,
        default="us-east-1",
        validators=[RegexValidator(r"^[a-z0-9-]+\Z", "This is no region.")],
        help_text="Such as eu-west-1.",
    )
    endpoint = models.CharField(
        max_length=300,
        blank=True,
        help_text="Of another store that speaks S3, such as https://minio.example.org; empty for AWS.",
    )
    prefix = models.CharField(
        max_length=200,
        blank=True,
        validators=[
            RegexValidator(
                r"^(?:[A-Za-z0-9_=.-]*[A-Za-z0-9_=-][A-Za-z0-9_=.-]*/)+\Z",
                "Give folders of letters, digits and - _ = . that end with a slash.",
            )
        ],
        help_text="Before the names of all objects, such as gateway/; empty for none.",
    )
    credential_sealed = sealed_column()
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        """`bucket_` and the row's UUID in hex."""
        return public_id("bucket", self.id)

    def check_restored(self, before: Bucket) -> None:
        """The credential was given for the endpoint of now."""
        if before.credential_sealed and self.endpoint != before.endpoint:
            raise ValidationError({"endpoint": "It had another endpoint then; change it in the form."})

    def set_credential(self, credential: str) -> None:
        """Store `ACCESS_KEY_ID:SECRET`, encrypted for this row; empty for the machine's own identity."""
        self.credential_sealed = seal(credential, label=_CREDENTIAL, row_id=self.id)

    def get_credential(self) -> str:
        """The credential, "" for none; raises `core.crypto.DecryptionError` under a wrong key ring."""
        return unseal(self.credential_sealed, label=_CREDENTIAL, row_id=self.id)
