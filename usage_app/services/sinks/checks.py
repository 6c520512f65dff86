"""What sinks and buckets must be beyond what each field says, for the API and the admin alike.

Each function returns what is wrong, by the name of the field.
"""

from __future__ import annotations

from django.conf import settings

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import check_url
from usage_app.models import Bucket, UsageSink
from usage_app.services.object_store import parse_keys
from usage_app.services.sinks.sending import parse_headers, signing_key

MAX_URL = 2000
MAX_SECRET = 4000
Problems = dict[str, str]


def sink_problems(row: UsageSink, *, url: str, secret: str | None) -> Problems:
    """What is wrong with a sink that gets this URL, if one is given, and this secret, "" for none."""
    if row.kind == UsageSink.Kind.S3:
        if url or secret:
            return {"url" if url else "secret": "A bucket has its own: leave this empty."}
        return {} if row.bucket_id else {"bucket": "Choose the bucket to put events into."}
    if row.bucket_id:
        return {"bucket": "Only sinks of the kind S3 put events into a bucket."}
    if not url and not row.url_sealed:
        return {"url": "Give the URL to send to."}
    # Webhooks of some services have their secret in the query.
    if problem := _uncallable(url.partition("?")[0]) or _unsayable(url):
        return {"url": problem}
    if url and row.secret_sealed and secret is None and _is_moved(url, row):
        return {"secret": "Give the secret again when the URL changes."}
    return _secret_problems(row.kind, secret)


def bucket_problems(row: Bucket, *, credential: str | None, stored_endpoint: str) -> Problems:
    """What is wrong with a bucket that gets this credential, if one is given, "" for none."""
    if problem := _uncallable(row.endpoint):
        return {"endpoint": problem}
    if "." in row.prefix and any(part in (".", "..") for part in row.prefix.split("/")):
        return {"prefix": "Give folders, not the way to them."}
    if credential is None:
        if row.credential_sealed and row.endpoint != stored_endpoint:
            return {"credential": "Give the credential again when the endpoint changes."}
        return {}
    try:
        if credential:
            parse_keys(credential)
    except ValueError as error:
        return {"credential": f"This can’t be used: {error}."}
    return {}


def _secret_problems(kind: str, secret: str | None) -> Problems:
    try:
        if secret and kind == UsageSink.Kind.WEBHOOK:
            signing_key(secret)
        elif secret:
            parse_headers(secret)
    except ValueError as error:
        return {"secret": f"This can’t be used: {error}."}
    return {}


def _uncallable(url: str) -> str:
    try:
        if url:
            check_url(url, allow_private=settings.ALLOW_PRIVATE_HOSTS)
    except ValueError as error:
        return f"This can’t be called: {error}."
    return _unsayable(url)


def _unsayable(url: str) -> str:
    return "" if url.isprintable() else "This can’t be called: it holds what is in no URL."


def _is_moved(url: str, row: UsageSink) -> bool:
    try:
        return url != row.get_url()
    except DecryptionError:
        return True
