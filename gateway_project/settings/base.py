"""Settings, all from the environment (docs/reference/settings.md lists them); secure by default."""

from __future__ import annotations

import logging
import os
import ssl
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from gateway_project.core.crypto import Ring
from gateway_project.processes import serves_pages
from gateway_project.settings import env as parsers
from gateway_project.settings import sign_in
from gateway_project.settings.sign_in import *  # noqa: F403  (a settings module is made of another's names)

BASE_DIR = Path(__file__).resolve().parents[2]
ENV_FILE = Path(os.environ.get("GATEWAY_ENV_FILE", BASE_DIR / ".env"))
parsers.read_dotenv(ENV_FILE)
env = parsers.Environment()


def _positive(name: str, default: int) -> int:
    """A variable that is a whole number of at least one."""
    return parsers.parse_positive(env(name, default=str(default)), name=name)


VERSION = "0.1.0"
DEBUG = env.bool("GATEWAY_DEBUG", default=False)
HOST: str = env("HOST", default="127.0.0.1")
PORT = parsers.parse_port(env("PORT", default="8000"), name="PORT")
WEB_CONCURRENCY = parsers.parse_positive(env("WEB_CONCURRENCY", default="1"), name="WEB_CONCURRENCY")
REDIS_URL = parsers.parse_redis_url(env("REDIS_URL", default="").strip(), name="REDIS_URL")

# Data on disk: the database of a single machine, the journal, metrics, the task queue.
GATEWAY_DATA_DIR = Path(env("GATEWAY_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()
SECRETS_FILE = GATEWAY_DATA_DIR / "secrets.env"
parsers.read_dotenv(SECRETS_FILE)

# Secrets. `manage.py bootstrap` writes them once on one machine; a system check names what is missing.
# Files end with a line end that is not part of a secret.
SECRET_KEY: str = env("GATEWAY_SECRET_KEY", default="").strip()
GATEWAY_ENCRYPTION_RING: Ring = parsers.parse_key_ring(
    env("GATEWAY_ENCRYPTION_KEYS", default=""), name="GATEWAY_ENCRYPTION_KEYS"
)
GATEWAY_KEY_PEPPERS: Ring = parsers.parse_key_ring(
    env("GATEWAY_KEY_PEPPERS", default=""), name="GATEWAY_KEY_PEPPERS"
)
GATEWAY_MASTER_KEY: str = env("GATEWAY_MASTER_KEY", default="").strip()
VENDOR_KEY_NAMES = ("OPENAI_API_KEY",)
VENDOR_KEYS = {name: env(name, default="").strip() for name in VENDOR_KEY_NAMES}

# The inference door.
MAX_BODY_BYTES = parsers.parse_size(env("GATEWAY_MAX_BODY", default="50M"), name="GATEWAY_MAX_BODY")
MAX_UPLOAD_BYTES = parsers.parse_size(env("GATEWAY_MAX_UPLOAD", default="200M"), name="GATEWAY_MAX_UPLOAD")
MAX_SPOOL_BYTES = parsers.parse_size(env("GATEWAY_MAX_SPOOL", default="2G"), name="GATEWAY_MAX_SPOOL")
BODY_TIMEOUT_S = parsers.parse_seconds(
    env("GATEWAY_BODY_TIMEOUT_S", default="30"), name="GATEWAY_BODY_TIMEOUT_S"
)
HEAD_TIMEOUT_S = parsers.parse_seconds(
    env("GATEWAY_HEAD_TIMEOUT_S", default="20"), name="GATEWAY_HEAD_TIMEOUT_S"
)
STREAM_HEADER_WAIT_S = parsers.parse_seconds(
    env("GATEWAY_STREAM_HEADER_WAIT_S", default="10"), name="GATEWAY_STREAM_HEADER_WAIT_S"
)
HEARTBEAT_S = parsers.parse_seconds(env("GATEWAY_HEARTBEAT_S", default="15"), name="GATEWAY_HEARTBEAT_S")
CLIENT_STALL_S = parsers.parse_seconds(
    env("GATEWAY_CLIENT_STALL_S", default="60"), name="GATEWAY_CLIENT_STALL_S"
)
DRAIN_DELAY_S = parsers.parse_seconds(env("GATEWAY_DRAIN_DELAY_S", default="0"), name="GATEWAY_DRAIN_DELAY_S")
STREAM_DRAIN_S = parsers.parse_seconds(
    env("GATEWAY_STREAM_DRAIN_S", default="30"), name="GATEWAY_STREAM_DRAIN_S"
)
CORS_ORIGINS = parsers.parse_origins(
    env.list("GATEWAY_CORS_ORIGINS", default=["*"]), name="GATEWAY_CORS_ORIGINS"
)
TRUSTED_PROXIES: list[str] = env.list("GATEWAY_TRUSTED_PROXIES", default=[])
SECRET_ENV_PREFIXES = parsers.parse_prefixes(
    env.list("GATEWAY_SECRET_ENV_PREFIXES", default=[]), name="GATEWAY_SECRET_ENV_PREFIXES"
)
ALLOW_PRIVATE_HOSTS = env.bool("GATEWAY_ALLOW_PRIVATE_HOSTS", default=True)
PROBE_LOCAL_SERVERS = env.bool("GATEWAY_PROBE_LOCAL_SERVERS", default=True)

CACHE_BYTES = parsers.parse_size(env("GATEWAY_CACHE_MEMORY", default="64M"), name="GATEWAY_CACHE_MEMORY")

# The ledger: admission answers 503 below this much free disk, or above this much unflushed journal.
JOURNAL_DIR = Path(env("GATEWAY_JOURNAL_DIR", default=str(GATEWAY_DATA_DIR / "journal")))
JOURNAL_MIN_FREE_BYTES = parsers.parse_size(
    env("GATEWAY_JOURNAL_MIN_FREE", default="256M"), name="GATEWAY_JOURNAL_MIN_FREE"
)
JOURNAL_MAX_BACKLOG_BYTES = parsers.parse_size(
    env("GATEWAY_JOURNAL_MAX_BACKLOG", default="512M"), name="GATEWAY_JOURNAL_MAX_BACKLOG"
)
USAGE_RETENTION_DAYS = parsers.parse_positive(
    env("GATEWAY_USAGE_RETENTION_DAYS", default="400"), name="GATEWAY_USAGE_RETENTION_DAYS"
)
ALERT_RETENTION_DAYS = parsers.parse_positive(
    env("GATEWAY_ALERT_RETENTION_DAYS", default="90"), name="GATEWAY_ALERT_RETENTION_DAYS"
)
USAGE_EVENT_RETENTION_DAYS = env.int("GATEWAY_USAGE_EVENT_RETENTION_DAYS", default=14)  # At least 1.
RUN_RETENTION_DAYS = parsers.parse_positive(
    env("GATEWAY_RUN_RETENTION_DAYS", default="30"), name="GATEWAY_RUN_RETENTION_DAYS"
)
# The audit: days after which events go; 0: never.
AUDIT_RETENTION_DAYS = parsers.parse_whole(
    env("GATEWAY_AUDIT_RETENTION_DAYS", default="0"), name="GATEWAY_AUDIT_RETENTION_DAYS"
)
# Findings of the nightly audit that are over.
FINDING_RETENTION_DAYS = parsers.parse_positive(
    env("GATEWAY_FINDING_RETENTION_DAYS", default="90"), name="GATEWAY_FINDING_RETENTION_DAYS"
)
HEALTH_RETENTION_HOURS = _positive("GATEWAY_HEALTH_RETENTION_HOURS", 48)
HEALTH_HISTORY_DAYS = _positive("GATEWAY_HEALTH_HISTORY_DAYS", 30)
# Probes of upstreams: how often, and from which average latency on an upstream counts as degraded.
HEALTH_INTERVAL_S = _positive("GATEWAY_HEALTH_INTERVAL_S", 30)
HEALTH_SLOW_MS = _positive("GATEWAY_HEALTH_SLOW_MS", 2000)

# Mail, for those who are to be told something. Without EMAIL_URL nothing is sent, and who would send says so.
_mail = env.email_url("EMAIL_URL", default="dummymail://")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _mail["EMAIL_HOST"] or "", _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env("GATEWAY_MAIL_FROM", default="agent-gateway@localhost")
MAIL_IS_CONFIGURED = bool(env("EMAIL_URL", default=""))

# Reports: files of usage, made by the Celery worker and served by the servers, who share this folder.
REPORTS_DIR = Path(env("GATEWAY_REPORTS_DIR", default=str(GATEWAY_DATA_DIR / "reports")))
REPORT_RETENTION_DAYS = parsers.parse_positive(
    env("GATEWAY_REPORT_RETENTION_DAYS", default="90"), name="GATEWAY_REPORT_RETENTION_DAYS"
)
REPORT_MAIL_MAX_BYTES = parsers.parse_size(
    env("GATEWAY_REPORT_MAIL_MAX", default="10M"), name="GATEWAY_REPORT_MAIL_MAX"
)
# Where people reach the admin, for links in mails; empty: mails have none.
PUBLIC_URL: str = env("GATEWAY_PUBLIC_URL", default="").strip().rstrip("/")

# Drop-in agents: folders of folders with an agent.py. Reloading looks at them each second.
AGENT_ROOTS = tuple(
    Path(text).resolve()
    for text in env("GATEWAY_AGENT_DISCOVERY_PATH", default=str(BASE_DIR / "agents")).split(os.pathsep)
    if text.strip()
)
AGENT_AUTO_RELOAD = env.bool("GATEWAY_AGENT_AUTO_RELOAD", default=False)
# Versions of each declared agent's definition that are kept.
AGENT_VERSIONS_KEPT = parsers.parse_positive(
    env("GATEWAY_AGENT_VERSIONS_KEPT", default="200"), name="GATEWAY_AGENT_VERSIONS_KEPT"
)
# How long a run that waits for its client's tools can go on from where it was; 0: nothing is kept.
AGENT_STATE_TTL_S = parsers.parse_seconds(
    env("GATEWAY_AGENT_STATE_TTL_S", default="3600"), name="GATEWAY_AGENT_STATE_TTL_S"
)
# For agents that name no model; empty: the first chat model that is not the demo's, else the demo's.
DEFAULT_MODEL: str = env("GATEWAY_DEFAULT_MODEL", default="").strip()
# Processes of agents: what one may use, and how many a server process has for runs at one time.
AGENT_PROCESS_MEMORY_MB = parsers.parse_positive(
    env("GATEWAY_AGENT_PROCESS_MEMORY_MB", default="512"), name="GATEWAY_AGENT_PROCESS_MEMORY_MB"
)
AGENT_PROCESS_CPU_S = parsers.parse_positive(
    env("GATEWAY_AGENT_PROCESS_CPU_S", default="60"), name="GATEWAY_AGENT_PROCESS_CPU_S"
)
AGENT_PROCESS_MAX = parsers.parse_positive(
    env("GATEWAY_AGENT_PROCESS_MAX", default="16"), name="GATEWAY_AGENT_PROCESS_MAX"
)

# People and keys. Until when the secret before a scheduled rotation is good.
KEY_ROTATION_GRACE = parsers.parse_period(
    env("GATEWAY_KEY_ROTATION_GRACE", default="7d"), name="GATEWAY_KEY_ROTATION_GRACE"
)

# Functions that tools may call, as globs over module:function; empty: none.
TOOL_MODULES: list[str] = env.list("GATEWAY_TOOL_MODULES", default=[])
# Programs that MCP servers over stdio may be, each named exactly; empty: none.
MCP_STDIO_COMMANDS: list[str] = env.list("GATEWAY_MCP_STDIO_COMMANDS", default=[])

# Live pages; a process on its own tells only of its own requests.
LIVE_MAX_CONNECTIONS = parsers.parse_positive(
    env("GATEWAY_LIVE_MAX_CONNECTIONS", default="20"), name="GATEWAY_LIVE_MAX_CONNECTIONS"
)
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [{"address": REDIS_URL, "socket_connect_timeout": 2}],
            "prefix": parsers.channel_prefix(REDIS_URL),
        },
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

# People who sign in (settings/sign_in.py has what follows from these).
SESSION_IDLE_S = parsers.parse_positive(
    env("GATEWAY_SESSION_IDLE_S", default="14400"), name="GATEWAY_SESSION_IDLE_S"
)
SESSION_MAX_S = parsers.parse_positive(
    env("GATEWAY_SESSION_MAX_S", default="43200"), name="GATEWAY_SESSION_MAX_S"
)
SESSION_COOKIE_AGE = min(SESSION_IDLE_S, SESSION_MAX_S)
REQUIRE_MFA = parsers.parse_choice(
    env("GATEWAY_REQUIRE_MFA", default="nobody"),
    ("nobody", "administrators", "everybody"),
    name="GATEWAY_REQUIRE_MFA",
)
AXES_FAILURE_LIMIT, AXES_COOLOFF_TIME = sign_in.axes_limits(
    attempts=parsers.parse_positive(
        env("GATEWAY_SIGN_IN_ATTEMPTS", default="5"), name="GATEWAY_SIGN_IN_ATTEMPTS"
    ),
    minutes=parsers.parse_positive(
        env("GATEWAY_SIGN_IN_LOCK_MINUTES", default="15"), name="GATEWAY_SIGN_IN_LOCK_MINUTES"
    ),
)
OIDC_ISSUER: str = env("GATEWAY_OIDC_ISSUER", default="").strip().rstrip("/")
OIDC_NAME: str = env("GATEWAY_OIDC_NAME", default="").strip() or "single sign-on"
OIDC_ALLOWED_DOMAINS = frozenset(
    domain.strip().lower() for domain in env.list("GATEWAY_OIDC_ALLOWED_DOMAINS", default=[])
)
OIDC_CREATE_USERS = env.bool("GATEWAY_OIDC_CREATE_USERS", default=True)
OIDC_GROUPS_CLAIM: str = env("GATEWAY_OIDC_GROUPS_CLAIM", default="groups").strip()
OIDC_GROUPS = parsers.parse_pairs(env.list("GATEWAY_OIDC_GROUPS", default=[]), name="GATEWAY_OIDC_GROUPS")
SOCIALACCOUNT_PROVIDERS = sign_in.identity_provider(
    issuer=OIDC_ISSUER,
    client_id=env("GATEWAY_OIDC_CLIENT_ID", default="").strip(),
    secret=env("GATEWAY_OIDC_CLIENT_SECRET", default="").strip(),
    name=OIDC_NAME,
)

INSTALLED_APPS = [
    # daphne only serves `runserver`; in every other process it would cost 26 MB.
    *(["daphne"] if len(sys.argv) > 1 and sys.argv[1] == "runserver" else []),
    "unfold",
    # Who serves no pages loads them with the URLs alone, should a mail's link be wanted.
    "django.contrib.admin" if serves_pages() else "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    # allauth's pages tell how long ago something was.
    "django.contrib.humanize",
    *sign_in.SIGN_IN_APPS,
    # It needs 7 MB; its rows are those of the app above.
    *(["allauth.socialaccount.providers.openid_connect"] if OIDC_ISSUER else []),
    "ninja",
    "gateway_project",
    "security_app",
    "usage_app",
    "upstreams_app",
    "tools_app",
    "agents_app",
]
MIDDLEWARE = [
    "gateway_project.middleware.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "gateway_project.middleware.ActingMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "gateway_project.sign_in.sessions.SessionMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "gateway_project.urls"
# For whoever opens the login page itself.
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
ASGI_APPLICATION = "gateway_project.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "gateway_project.sign_in.frame.frame",
            ]
        },
    }
]

# Databases: SQLite on one machine, PostgreSQL with a pool on many.
DATABASE_URL: str = (
    env("DATABASE_URL", default="").strip() or f"sqlite:///{GATEWAY_DATA_DIR / 'gateway.sqlite3'}"
)
DATABASES = {"default": parsers.parse_database_url(DATABASE_URL, name="DATABASE_URL")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # DEFERRED transactions lose writes under several writers; FULL survives a power cut.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 0, "max_size": 8, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Web security.
ALLOWED_HOSTS: list[str] = env.list("GATEWAY_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("GATEWAY_CSRF_TRUSTED_ORIGINS", default=[])
HTTPS_ONLY = env.bool("GATEWAY_HTTPS_ONLY", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SESSION_COOKIE_NAME = "gateway_session"
CSRF_COOKIE_NAME = "gateway_csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    *(
        {"NAME": f"django.contrib.auth.password_validation.{name}"}
        for name in (
            "UserAttributeSimilarityValidator",
            "CommonPasswordValidator",
            "NumericPasswordValidator",
        )
    ),
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False
# Bodies of the admin and the management API; with both alike none is ever written to disk.
DATA_UPLOAD_MAX_MEMORY_SIZE = FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Celery: messages are hints, results are not kept; without Valkey the broker is a folder.
CELERY_BROKER_URL = REDIS_URL or "filesystem://"
if REDIS_URL.startswith("rediss://") and "ssl_cert_reqs" not in REDIS_URL:
    # Celery would take any certificate; every other client of that server verifies it.
    CELERY_BROKER_USE_SSL = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
CELERY_DIR = GATEWAY_DATA_DIR / "celery"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {}
    if REDIS_URL
    else {
        "data_folder_in": str(CELERY_DIR / "queue"),
        "data_folder_out": str(CELERY_DIR / "queue"),
        "control_folder": str(CELERY_DIR / "control"),
        "store_processed": False,
    }
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_TASK_TIME_LIMIT = 300
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False

# Logging is configured by gateway_project.observability.logging, JSON lines to standard output.
LOG_LEVEL = env("GATEWAY_LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(f"GATEWAY_LOG_LEVEL: '{LOG_LEVEL}' is not a level such as INFO.")
LOGGING_CONFIG = "gateway_project.observability.logging.configure_from_settings"
LOGGING = {"level": LOG_LEVEL}
METRICS_DIR = GATEWAY_DATA_DIR / "metrics"

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Agent Gateway",
    "SITE_HEADER": "Agent Gateway",
    "SITE_SYMBOL": "hub",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": f"{STATIC_URL}admin_gateway/icon.svg"},
    ],
    "STYLES": [f"{STATIC_URL}admin_gateway/admin.css"],
    "SCRIPTS": [f"{STATIC_URL}admin_gateway/names.js"],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": None,
    "DASHBOARD_CALLBACK": "upstreams_app.admin.start_page.add_facts",
    "ACCOUNT": {
        "navigation": [
            {"title": "My use", "link": "/me/"},
            {"title": "Sign-in and security", "link": "/admin/account/2fa/"},
        ]
    },
    "SIDEBAR": {"show_search": False, "navigation": "gateway_project.admin_pages.navigation"},
}
