"""Django settings, made from `handrail.config.environment`; nothing is read from elsewhere."""

from typing import Any
from urllib.parse import unquote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from handrail.config.environment import DatabaseRole, load_environment
from handrail.config.logs import leave_out_address, shorten_refused_host
from handrail.config.parsing import LOCAL_HOSTS

environment = load_environment()
_base = urlsplit(environment.base_url)
_https = _base.scheme == "https"

DEBUG = environment.debug
SECRET_KEY = environment.django_secret_keys[0] if environment.django_secret_keys else ""
SECRET_KEY_FALLBACKS = list(environment.django_secret_keys[1:])
ALLOWED_HOSTS = [host for host in (_base.hostname,) if host]
if not ALLOWED_HOSTS or ALLOWED_HOSTS[0] in LOCAL_HOSTS:
    ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [environment.base_url] if environment.base_url else []

ROOT_URLCONF = "handrail.config.urls"
ASGI_APPLICATION = "handrail.config.asgi.application"
INSTALLED_APPS = [
    "handrail.core",
    "handrail.organizations",
    "handrail.people",
    "handrail.inbox",
    "handrail.partners",
    "handrail.programs",
    "handrail.enrollments",
    "handrail.credentials",
    "handrail.student",
    "handrail.console",
    "handrail.public",
    "handrail.api",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
]
MIDDLEWARE = [
    # Outside the transaction, for what allauth does after its commit. It asks no database.
    "allauth.account.middleware.AccountMiddleware",
    "handrail.people.middleware.IdentityMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "handrail.config.headers.SecurityHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "handrail.config.frame.describe_frame",
            ],
        },
    }
]


def _database(role: DatabaseRole) -> dict[str, Any]:
    """Django's description of the database, for one role; identity and time zone are the role's."""
    parts = conninfo_to_dict(environment.database_url)
    known = ("dbname", "host", "port")
    options: dict[str, Any] = {key: value for key, value in parts.items() if key not in known}
    options.setdefault("application_name", role.login)
    options.setdefault("connect_timeout", 5)
    if role is DatabaseRole.WEB:
        # Each request runs in a thread of its own; without a pool each would sign in anew.
        options["pool"] = {"min_size": 2, "max_size": 16, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts["dbname"],
        "HOST": parts.get("host", ""),
        "PORT": str(parts.get("port", "")),
        "USER": role.login,
        "PASSWORD": environment.database_passwords.get(role, ""),
        "OPTIONS": options,
        "ATOMIC_REQUESTS": False,  # The identity middleware opens the transaction.
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,  # PgBouncer in transaction mode.
    }


DATABASES = {"default": _database(environment.process_role)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "django_cache",
        # Counts of sign-in attempts: room enough that nobody pushes them out by making others.
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    }
}

AUTH_USER_MODEL = "people.Profile"
AUTHENTICATION_BACKENDS = ["handrail.people.backend.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "handrail.people.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
# Accounts are made by commands, for addresses that the organization knows; a password that was
# forgotten goes to that address alone.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_FORMS = {
    "login": "handrail.people.forms.LoginForm",
    "reset_password": "handrail.people.forms.ResetPasswordForm",
    "user_token": "handrail.people.forms.UserTokenForm",
}
# allauth's own would first copy the address to a table that we do not use.
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105
# Each counts per address of the network and per account. Sign-in: allauth's (30 a minute; wrong
# ones 10 a minute, 5 in 5 minutes for an account). Messages by mail are dearer.
ACCOUNT_RATE_LIMITS = {"reset_password": "60/h/ip,5/h/key"}
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Handrail"
MFA_ADAPTER = "handrail.people.adapter.MFAAdapter"
MFA_FORMS = {
    "activate_totp": "handrail.people.forms.ActivateTOTPForm",
    "add_webauthn": "handrail.people.forms.AddWebAuthnForm",
    "login_webauthn": "handrail.people.forms.LoginWebAuthnForm",
}

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
SESSION_COOKIE_NAME = "__Host-session" if _https else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if _https else "csrf"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = _https
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The outer application (asgi.py) refuses bodies over 1 MiB before Django sees them.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024 + 1

LANGUAGE_CODE = "en-us"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # no uploads are kept
    "staticfiles": {"BACKEND": "handrail.config.static.VersionedStaticFilesStorage"},
}


def _mail(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return {"EMAIL_FILE_PATH": unquote(parts.path)}
    secure = parts.scheme == "smtps"
    return {
        "EMAIL_HOST": parts.hostname or "",
        "EMAIL_PORT": parts.port or (465 if secure else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": secure,
        "EMAIL_USE_TLS": not secure and bool(parts.username),
        "EMAIL_TIMEOUT": 30,
    }


globals().update(_mail(environment.mail_url))
# Messages are stored in the transaction that causes them; a job hands them to the transport.
EMAIL_BACKEND = "handrail.core.mail.OutboxBackend"
HANDRAIL_MAIL_TRANSPORT = (
    "handrail.core.mail.FolderBackend"
    if environment.mail_url.startswith("file:")
    else "django.core.mail.backends.smtp.EmailBackend"
)
DEFAULT_FROM_EMAIL = f"Handrail <no-reply@{_base.hostname or 'localhost'}>"

# Messages only, on standard error: no request bodies, headers, query strings or local variables.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "no_address": {"()": "django.utils.log.CallbackFilter", "callback": leave_out_address},
        "one_line": {"()": "django.utils.log.CallbackFilter", "callback": shorten_refused_host},
    },
    "formatters": {"line": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"level": "ERROR", "filters": ["no_address"]},
        "django.security.csrf": {"filters": ["no_address"]},
        "django.security.DisallowedHost": {"filters": ["one_line"]},
        "django.server": {"handlers": [], "propagate": True},
        "uvicorn": {"level": "WARNING"},
    },
}

# What the lower layers read (they may not import handrail.config).
HANDRAIL_BASE_URL: str = environment.base_url
HANDRAIL_SECRET_KEYS: tuple[tuple[str, bytes], ...] = environment.secret_keys
HANDRAIL_SERVICE_TOKEN: str = environment.service_token
HANDRAIL_ALLOWED_PRIVATE_HOSTS: frozenset[tuple[str, int]] = environment.allowed_private_hosts
HANDRAIL_TRUSTED_PROXIES: tuple[str, ...] = environment.trusted_proxies
HANDRAIL_SANDBOX: bool = environment.sandbox
HANDRAIL_RETRY_BASE_SECONDS: float = environment.retry_base_seconds
HANDRAIL_RETRY_MAX_SECONDS: float = environment.retry_max_seconds
HANDRAIL_CALL_TIMEOUT_SECONDS: float = environment.call_timeout_seconds
HANDRAIL_RECONCILE_SECONDS: float = environment.reconcile_seconds
HANDRAIL_WAITING_HOURS: float = environment.waiting_hours

HANDRAIL_SECRET_DSNS: dict[str, str] = {
    role.value: environment.database_dsn(role) for role in environment.database_passwords
}
"""Connection strings by role (worker, ingress, ...): of those roles this process has."""
