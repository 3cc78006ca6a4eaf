"""The configuration file: JSON, checked at start, every mistake named with its place.

The keys and their meaning stand in docs/reference/sandbox.md; the defaults are the dataclasses'
below. Secrets of partners stand in it: keep it readable by its owner only.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from handrail_sandbox.json_object import ConfigError, JsonObject
from handrail_sandbox.platforms import PLATFORMS, Platform
from handrail_sandbox.signing import SCHEMES

REQUEST_RATES = {  # of --faults; what each means: faults.py
    "error_after": 0.05,
    "error_before": 0.03,
    "drop_after": 0.04,
    "drop_before": 0.02,
    "hang_after": 0.02,
    "hang_before": 0.01,
    "hang_late": 0.01,
    "limit": 0.04,
    "busy": 0.03,
    "down": 0.02,
}
WEBHOOK_RATES = {"lose": 0.05, "delay": 0.10, "reorder": 0.08, "repeat": 0.10}
RETRY_SECONDS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Course:
    """What the partner teaches; `kind` is course or screening."""

    code: str
    title: str
    hours: float = 4.0
    credential: str = ""
    valid_months: int | None = None
    kind: str = "course"

    @property
    def lessons(self) -> int:
        return int(min(60, max(4, self.hours * 2)))


@dataclass(frozen=True, slots=True)
class Study:
    """How people study by themselves: `failing` is a share from 0 to 1."""

    seconds: float = 20.0
    messages: int = 4
    failing: float = 0.0
    start: str = "auto"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks go and how they are signed."""

    url: str
    scheme: str
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FaultConfig:
    """Rates are shares from 0 to 1 by name of the fault (faults.py)."""

    on: bool = False
    per_identity: int = 2
    hang_seconds: float = 40.0
    retry_after_seconds: int = 1
    delay_seconds: float = 3.0
    requests: dict[str, float] = field(default_factory=lambda: dict(REQUEST_RATES))
    webhooks: dict[str, float] = field(default_factory=lambda: dict(WEBHOOK_RATES))


@dataclass(frozen=True, slots=True)
class Partner:
    """One platform as configured."""

    platform: Platform
    courses: Mapping[str, Course]
    study: Study
    credentials: Mapping[str, str] = field(repr=False)
    endpoint: Endpoint | None = None
    results_file: Path | None = None

    @property
    def organization(self) -> str:
        """The organization's id at the partner; '' when any is taken."""
        return self.credentials.get(self.platform.organization_header, "")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked."""

    partners: Mapping[str, Partner]
    control_token: str = field(repr=False)
    public_url: str = ""
    seed: int = 1
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    leave_alone: frozenset[str] = frozenset()
    retry_seconds: tuple[float, ...] = RETRY_SECONDS
    webhook_timeout_seconds: float = 15.0
    webhook_concurrency: int = 64
    launch_seconds: float = 300.0
    faults: FaultConfig = field(default_factory=FaultConfig)


def load_config(path: Path) -> Config:
    """Read and check the file; ConfigError says what is wrong."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    return parse_config(raw)


def parse_config(raw: object) -> Config:
    """Return the checked configuration from parsed JSON; ConfigError says what is wrong."""
    top = JsonObject(raw)
    config = Config(
        control_token=top.take_text("control_token", at_least=16),
        public_url=top.take_text("public_url", default="").rstrip("/"),
        seed=int(top.take_number("seed", default=1)),
        zone=_load_zone(top.take_text("time_zone", default="UTC")),
        leave_alone=frozenset(mail.strip().casefold() for mail in top.take_texts("leave_alone")),
        retry_seconds=tuple(top.take_numbers("retry_seconds", default=RETRY_SECONDS)),
        webhook_timeout_seconds=top.take_number("webhook_timeout_seconds", default=15.0),
        webhook_concurrency=int(top.take_number("webhook_concurrency", default=64, least=1)),
        launch_seconds=top.take_number("launch_seconds", default=300.0),
        faults=_parse_faults(top.take_object("faults")),
        partners=_parse_partners(top.take_object("partners")),
    )
    top.finish()
    return config


def _load_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"time_zone: {name!r} is not a zone, for example UTC") from error


def _parse_faults(raw: JsonObject) -> FaultConfig:
    base = FaultConfig()
    faults = FaultConfig(
        on=raw.take_flag("on", default=base.on),
        per_identity=int(raw.take_number("per_identity", default=base.per_identity)),
        hang_seconds=raw.take_number("hang_seconds", default=base.hang_seconds),
        retry_after_seconds=int(
            raw.take_number("retry_after_seconds", default=base.retry_after_seconds)
        ),
        delay_seconds=raw.take_number("delay_seconds", default=base.delay_seconds),
        requests=raw.take_rates("requests", known=REQUEST_RATES),
        webhooks=raw.take_rates("webhooks", known=WEBHOOK_RATES),
    )
    raw.finish()
    return faults


def _parse_partners(raw: JsonObject) -> dict[str, Partner]:
    partners = {}
    for slug in list(raw.left):
        if slug not in PLATFORMS:
            raise ConfigError(f"partners: {slug!r} is not one of {', '.join(PLATFORMS)}")
        partners[slug] = _parse_partner(PLATFORMS[slug], raw.take_object(slug))
    if not partners:
        raise ConfigError("partners: name at least one")
    return partners


def _parse_partner(platform: Platform, raw: JsonObject) -> Partner:
    courses = [_parse_course(platform, course) for course in raw.take_objects("courses")]
    results_file = raw.take_text("results_file", default="")
    if results_file and not platform.has_portal:
        raise ConfigError(f"{raw.place}.results_file: only jri has one")
    partner = Partner(
        platform=platform,
        courses={course.code: course for course in courses},
        study=_parse_study(raw.take_object("study")),
        credentials=_parse_credentials(platform, raw.take_object("credentials")),
        endpoint=_parse_endpoint(raw),
        results_file=Path(results_file) if results_file else None,
    )
    raw.finish()
    return partner


def _parse_course(platform: Platform, raw: JsonObject) -> Course:
    credential = raw.take_text("credential", default="")
    months = raw.take_number("valid_months", default=0)
    usual = "screening" if platform.takes_orders and not credential else "course"
    course = Course(
        code=raw.take_text("code"),
        title=raw.take_text("title"),
        hours=raw.take_number("hours", default=4.0),
        credential=credential,
        valid_months=int(months) or None,
        kind=raw.take_text("kind", default=usual),
    )
    raw.finish()
    return course


def _parse_study(raw: JsonObject) -> Study:
    study = Study(
        seconds=raw.take_number("seconds", default=20.0),
        messages=int(raw.take_number("messages", default=4)),
        failing=raw.take_number("failing", default=0.0, most=1.0),
        start=raw.take_text("start", default="auto"),
    )
    if study.start not in {"auto", "told"}:
        raise ConfigError(f"{raw.place}.start: write auto or told")
    raw.finish()
    return study


def _parse_credentials(platform: Platform, raw: JsonObject) -> dict[str, str]:
    needed = [platform.key_header, platform.organization_header]
    given = {name: raw.take_text(name) for name in list(raw.left)}
    missing = [name for name in needed if platform.needs_key and name not in given]
    if missing:
        raise ConfigError(f"{raw.place}: the header {missing[0]} must be there")
    if unknown := [name for name in given if name not in needed]:
        raise ConfigError(f"{raw.place}: {unknown[0]} is not a header of {platform.slug}")
    if not given.get("Authorization", "Bearer ").startswith("Bearer "):
        raise ConfigError(f"{raw.place}.Authorization: write 'Bearer ' and the key")
    return given


def _parse_endpoint(raw: JsonObject) -> Endpoint | None:
    url = raw.take_text("webhook_url", default="")
    scheme = raw.take_text("webhook_scheme", default="standard-webhooks")
    secret = raw.take_text("webhook_secret", default="")
    previous = raw.take_text("webhook_previous_secret", default="")
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{raw.place}.webhook_url: write an http:// or https:// address")
    if scheme not in SCHEMES:
        raise ConfigError(f"{raw.place}.webhook_scheme: write one of {', '.join(SCHEMES)}")
    if scheme == "standard-webhooks":
        for text in filter(None, (secret, previous)):
            _check_standard_secret(text, raw.place)
    if not secret:
        raise ConfigError(f"{raw.place}.webhook_secret: a partner that sends webhooks needs one")
    return Endpoint(url=url, scheme=scheme, secret=secret, previous_secret=previous or None)


def _check_standard_secret(secret: str, place: str) -> None:
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except (Base64Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ConfigError(f"{place}: a secret here is whsec_ and 24 to 64 bytes in base64")
