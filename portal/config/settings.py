"""Settings: embedded defaults (SQLite, private Redis on a unix socket) that environment variables replace.

HOPSIGHT_STATE     folder for the database, sockets, logs and secrets (default: var/ beside manage.py)
HOPSIGHT_DATABASE  postgresql://user:password@host:port/name instead of SQLite
HOPSIGHT_REDIS     redis://… or unix://…  (default: the private server's socket in HOPSIGHT_STATE)
HOPSIGHT_SECRET    Django's secret key (default: made once, kept in HOPSIGHT_STATE with mode 0600)
HOPSIGHT_HOSTS     allowed host names, by comma (default: localhost, 127.0.0.1, [::1])
HOPSIGHT_ORIGINS   trusted origins for https behind a front, by comma
HOPSIGHT_CONSOLE   unix socket on which the console process meets the web process (default: in HOPSIGHT_STATE)
HOPSIGHT_MODE      "lab", "preview" or "fleet": where the hypervisors come from
HOPSIGHT_LAB       name of the lab (default: main)
HOPSIGHT_OIDC_URL  issuer of an OpenID Connect provider that people may log in by; with HOPSIGHT_OIDC_CLIENT_ID, _CLIENT_SECRET,
                   _NAME (what the button says) and _NEW_PEOPLE=0 (only those who connected it to their log-in come in)
HOPSIGHT_INVITED_PEOPLE  0: a team's invitation link lets in only who has a log-in (default: others make one there)
HOPSIGHT_SMTP      smtp://user:password@host:587?tls=1: the mail server of alerts by e-mail (default: none)
HOPSIGHT_MAIL_FROM who such mail is from (default: hopsight@localhost)
HOPSIGHT_HOOKS_ALSO networks besides the internet that webhooks may reach, by comma (default: none)
HOPSIGHT_METRICS_TOKEN  what a scraper of /metrics sends as its bearer token (default: none, operators alone)
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent.parent
STATE_DIR = Path(os.environ.get("HOPSIGHT_STATE", BASE_DIR / "var")).resolve()
STATE_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)


def socket_path(name: str) -> Path:
    """A unix socket's path inside the state folder, or a short one in /tmp where 107 bytes would not do."""
    path = STATE_DIR / name
    if len(str(path).encode()) <= 100:
        return path
    digest = hashlib.sha256(str(STATE_DIR).encode()).hexdigest()[:12]
    folder = Path(f"/tmp/hopsight-{os.getuid()}-{digest}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / name


def _secret_key() -> str:
    given = os.environ.get("HOPSIGHT_SECRET")
    if given:
        return given
    path = STATE_DIR / "secret-key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(descriptor, "w") as file:
        key = secrets.token_urlsafe(50)
        file.write(key)
    return key


def _database() -> dict[str, Any]:
    url = os.environ.get("HOPSIGHT_DATABASE")
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": STATE_DIR / "hopsight.sqlite3",
            "CONN_MAX_AGE": None,  # a file does not go away, and 12 tracers that open it anew each minute are felt
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 60,  # SQLite lets waiters in by chance: 50 creates at once on a busy machine starve one for 20 s
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
                "PRAGMA wal_autocheckpoint=16000;",  # the worker writes it back before: tasks/write_back.py
            },
        }
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 60,
    }


def _words(name: str, default: str) -> list[str]:
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def _identity_providers() -> list[dict[str, Any]]:
    url = os.environ.get("HOPSIGHT_OIDC_URL")
    if not url:
        return []
    return [
        {
            "provider_id": "sso",
            "name": os.environ.get("HOPSIGHT_OIDC_NAME", "Single sign-on"),
            "client_id": os.environ.get("HOPSIGHT_OIDC_CLIENT_ID", "hopsight"),
            "secret": os.environ.get("HOPSIGHT_OIDC_CLIENT_SECRET", ""),
            "settings": {"server_url": url},
        }
    ]


SECRET_KEY = _secret_key()
DEBUG = False
ALLOWED_HOSTS = _words("HOPSIGHT_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _words("HOPSIGHT_ORIGINS", "")
MODE = os.environ.get("HOPSIGHT_MODE", "lab")
LAB_NAME = os.environ.get("HOPSIGHT_LAB", "main")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "django_vite",
    "portal.accounts",  # before allauth, for our templates of its pages
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "portal.hosts",
    "portal.networks",
    "portal.compute",
    "portal.images",
    "portal.volumes",
    "portal.snapshots",
    "portal.backups",
    "portal.console",
    "portal.operations",
    "portal.live",
    "portal.traces",
    "portal.captures",
    "portal.bundles",
    "portal.checks",
    "portal.drops",
    "portal.metrics",
    "portal.history",
    "portal.usage",
    "portal.alerts",
    "portal.search",
    "portal.topology",
    "portal.dashboards",
    "portal.api",
    "tasks",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portal.config.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "portal.metrics.tally.CountRequests",
    "portal.accounts.middleware.RequestContext",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "portal.config.language.SpokenLanguage",
    "portal.config.zone.ShownZone",
    "portal.accounts.middleware.LogInForPages",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "portal.config.only_forms.OnlyForms",
    "portal.config.bodies.RefusedBodies",
    "portal.api.middleware.ApiAnswers",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "portal.config.urls"
ASGI_APPLICATION = "portal.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "portal" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.template.context_processors.tz",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.config.context.shell",
            ],
        },
    }
]

DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_SOCKET = socket_path("redis.sock")  # of the private server that `manage.py run` starts
REDIS_URL = os.environ.get("HOPSIGHT_REDIS", f"unix://{REDIS_SOCKET}")
CONSOLE_SOCKET = Path(os.environ.get("HOPSIGHT_CONSOLE") or socket_path("console.sock"))
TLS_DIR = os.environ.get("HOPSIGHT_TLS", "")  # ca.pem, cert.pem, key.pem: for hosts reached by ssl:ADDRESS:PORT
PLAIN_TCP = os.environ.get("HOPSIGHT_PLAIN_TCP") == "1"  # tcp:ADDRESS:PORT to other machines than this one
CONTROLLER_LISTEN = os.environ.get(
    "HOPSIGHT_CONTROLLER_LISTEN", ""
)  # where the address that hosts are told is not its own
METRICS_TOKEN = os.environ.get("HOPSIGHT_METRICS_TOKEN", "")
LEASE_GRACE_HOURS = int(os.environ.get("HOPSIGHT_LEASE_GRACE_HOURS", "72"))  # from a lease's end to the VM's deletion
UNDELETE_HOURS = int(os.environ.get("HOPSIGHT_UNDELETE_HOURS", "24"))  # a deleted VM is kept so long
ORPHAN_GRACE_S = float(os.environ.get("HOPSIGHT_ORPHAN_GRACE_S", "900"))  # found so long ago, it may be cleaned
VCPUS_PER_CPU = int(os.environ.get("HOPSIGHT_VCPUS_PER_CPU", "16"))  # so many are given for each CPU of a host
# Folders under which operators may set up stores of backups: the worker writes there, perhaps as root.
BACKUP_FOLDERS = _words("HOPSIGHT_BACKUP_FOLDERS", f"{STATE_DIR}/backups,/srv,/mnt,/media,/var/backups")
SSH_PREFIX = os.environ.get("HOPSIGHT_SSH_PREFIX", "")  # what makes `ssh address` reach a guest from where people sit
# Shared by all processes: ten failed log-ins are ten, however many web processes there are.
CACHES = {
    "default": {
        "BACKEND": "portal.config.cache.SharedCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "hopsight-cache",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 1},
    }
}
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)

AUTH_USER_MODEL = "accounts.User"
SESSION_ENGINE = "portal.accounts.session_store"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "portal.accounts.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SIGNUP_FIELDS = ["username*"]
ACCOUNT_UNIQUE_EMAIL = False  # an address tells how to reach somebody, never who they are
MFA_ADAPTER = "portal.accounts.adapters.FactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Hopsight"
SOCIALACCOUNT_ADAPTER = "portal.accounts.adapters.IdentityAdapter"
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form may not lead to another site (form-action 'self'), a link may
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": _identity_providers()}}
INVITED_PEOPLE = os.environ.get("HOPSIGHT_INVITED_PEOPLE", "1") == "1"
OIDC_NEW_PEOPLE = os.environ.get("HOPSIGHT_OIDC_NEW_PEOPLE", "1") == "1"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
if os.environ.get("HOPSIGHT_HTTPS") == "1":
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]  # each by its own name
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
LANGUAGE_COOKIE_HTTPONLY, LANGUAGE_COOKIE_SAMESITE, LANGUAGE_COOKIE_AGE = True, "Lax", 365 * 86400
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True

STATIC_URL = "/static/"
STATIC_ROOT = STATE_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "portal" / "static"]
if (BASE_DIR / "frontend" / "dist").is_dir():
    STATICFILES_DIRS.append(BASE_DIR / "frontend" / "dist")
SILENCED_SYSTEM_CHECKS = ["django_vite.W001"]  # pages work without script; scripts build the front end
DJANGO_VITE = {
    "default": {
        "dev_mode": os.environ.get("HOPSIGHT_VITE_DEV") == "1",
        "manifest_path": BASE_DIR / "frontend" / "dist" / ".vite" / "manifest.json",
    }
}
WHITENOISE_USE_FINDERS = True

IMAGE_CACHE = Path(
    os.environ.get(
        "HOPSIGHT_IMAGES",
        "/var/cache/hopsight/images" if os.getuid() == 0 else Path.home() / ".cache" / "hopsight" / "images",
    )
)
BUNDLES = STATE_DIR / "bundles"  # support bundles, unpacked: operators upload them, workers read them
BUNDLE_MAX_MIB = int(os.environ.get("HOPSIGHT_BUNDLE_MAX_MIB", "256"))  # of one archive
IMAGE_MAX_GIB = int(os.environ.get("HOPSIGHT_IMAGE_MAX_GIB", "20"))  # of one image's file
IMAGE_MAX_VIRTUAL_GIB = int(os.environ.get("HOPSIGHT_IMAGE_MAX_VIRTUAL_GIB", "200"))  # of the disk that guests see
IMAGE_TEAM_GIB = int(os.environ.get("HOPSIGHT_IMAGE_TEAM_GIB", "50"))  # of all images of a team
IMAGE_HOST_FREE_GIB = int(os.environ.get("HOPSIGHT_IMAGE_HOST_FREE_GIB", "5"))  # kept free on hosts: unused copies go
IMAGE_FETCH_ALSO: tuple[str, ...] = ()  # networks besides the internet that images may be fetched from; tests set it
HOOKS_ALSO = tuple(_words("HOPSIGHT_HOOKS_ALSO", ""))
MAIL_FROM = os.environ.get("HOPSIGHT_MAIL_FROM", "hopsight@localhost")
_smtp = urlsplit(os.environ.get("HOPSIGHT_SMTP", ""))
EMAIL_HOST, EMAIL_PORT = _smtp.hostname or "", _smtp.port or 25
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_smtp.username or ""), unquote(_smtp.password or "")
EMAIL_USE_TLS, EMAIL_TIMEOUT = "tls=1" in _smtp.query, 10
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("HOPSIGHT_LOG", "INFO")},
}
