"""Whether the key rings of the environment are those that the database was made with."""

from __future__ import annotations

import hmac

from django.conf import settings

from gateway_project.core.crypto import DecryptionError
from security_app.models import CheckValue
from security_app.models.secret import seal, unseal

_KNOWN = "agent-gateway"
_ENCRYPTION = "encryption"


def check_rings() -> None:
    """Write the check values at first, compare them later; DecryptionError if a ring is another."""
    row, is_new = CheckValue.objects.get_or_create(
        ring=_ENCRYPTION, defaults={"value": seal(_KNOWN, label="check", row_id=_ENCRYPTION)}
    )
    if not is_new and unseal(row.value, label="check", row_id=_ENCRYPTION) != _KNOWN:
        raise DecryptionError("the encryption keys are not those of this database")
    for pepper in settings.GATEWAY_KEY_PEPPERS:
        value = hmac.digest(pepper.secret, _KNOWN.encode(), "sha256").hex()
        row, is_new = CheckValue.objects.get_or_create(
            ring=f"pepper:{pepper.id}"[:20], defaults={"value": value}
        )
        if not is_new and not hmac.compare_digest(row.value, value):
            raise DecryptionError(f"pepper '{pepper.id}' is not the one of this database")
