"""Settings of the test suite: fixed secrets, a data folder of the run's own, everything else as shipped."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# A developer's own .env must not change what the tests see.
os.environ["GATEWAY_ENV_FILE"] = os.devnull
if "GATEWAY_DATA_DIR" not in os.environ:
    os.environ["GATEWAY_DATA_DIR"] = tempfile.mkdtemp(prefix="gateway-test-")
os.environ.setdefault("GATEWAY_SECRET_KEY", "test-secret-key-" + "0" * 48)
os.environ.setdefault("GATEWAY_ENCRYPTION_KEYS", "t1:" + "A" * 43 + "=")
os.environ.setdefault("GATEWAY_KEY_PEPPERS", "t1:" + "B" * 42 + "A=")
os.environ.setdefault("GATEWAY_MASTER_KEY", "sk-test-master-000000000000")
os.environ.setdefault("GATEWAY_PROBE_LOCAL_SERVERS", "false")

from gateway_project.settings.base import *  # noqa: F403  (a settings module is made of another's names)

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
for folder in ("journal", "metrics", "celery/queue", "celery/control"):
    (Path(os.environ["GATEWAY_DATA_DIR"]) / folder).mkdir(parents=True, exist_ok=True)
# Rolled back transactions would leave behind what never was; tests of the cache take their own.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
# Importing the SDK takes seconds; tests of agents name their own folders.
AGENT_ROOTS = ()
