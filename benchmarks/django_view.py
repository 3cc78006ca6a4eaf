"""A webhook received as one would with a plain Django view: the measure beside the ingress.

Checks the same signature and stores the same row with the ORM, committed before it answers. It is a
settings module, URLs, a model and an application in one file, for `uvicorn --interface wsgi
benchmarks.django_view:application`: threads with lasting connections did 400 a second here, the
same view under ASGI with a pool 290. It reaches the table as the superuser (BENCH_DSN), because no
role of ours may insert there.
"""

import hashlib
import os
import time
from typing import Any, ClassVar

from psycopg.conninfo import conninfo_to_dict

from benchmarks.data import SECRET
from handrail.inbox.registry import NotAuthentic
from handrail.partners.signatures import verify

_parts = conninfo_to_dict(os.environ["BENCH_DSN"])
SECRET_KEY = "benchmark"  # noqa: S105 - signs nothing
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.django_view"
MIDDLEWARE: list[str] = []
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _parts["dbname"],
        "HOST": _parts["host"],
        "PORT": str(_parts["port"]),
        "USER": _parts["user"],
        "PASSWORD": _parts["password"],
        "CONN_MAX_AGE": None,
    }
}
USE_TZ = True
LOGGING_CONFIG = None

import django  # noqa: E402 - this module is the settings

django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402


class Endpoint(models.Model):
    """What the view looks up."""

    id = models.UUIDField(primary_key=True)
    key = models.TextField()
    scheme = models.TextField()
    organization_id = models.UUIDField()
    provider_id = models.UUIDField()
    objects: "ClassVar[models.Manager[Endpoint]]" = models.Manager()

    class Meta:
        app_label = "benchmarks"
        managed = False
        db_table = "webhook_endpoints"


class Event(models.Model):
    """What the view stores."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    endpoint_id = models.UUIDField()
    organization_id = models.UUIDField()
    provider_id = models.UUIDField()
    event_id = models.TextField()
    digest = models.BinaryField()
    body = models.BinaryField()
    content_type = models.TextField()
    sent_at = models.DateTimeField(null=True)
    objects: "ClassVar[models.Manager[Event]]" = models.Manager()

    class Meta:
        app_label = "benchmarks"
        managed = False
        db_table = "webhook_events"


def receive(request: HttpRequest, key: str) -> JsonResponse:
    """Check, store, answer."""
    endpoint = Endpoint.objects.get(key=key)
    body = request.body
    headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in request.headers.items()]
    try:
        authentic = verify(endpoint.scheme, headers, body, [SECRET.encode()], now=time.time())
    except NotAuthentic as refusal:
        return JsonResponse({"status": "error", "reason": str(refusal)}, status=401)
    values: dict[str, Any] = {
        "organization_id": endpoint.organization_id,
        "provider_id": endpoint.provider_id,
        "digest": hashlib.sha256(body).digest(),
        "body": body,
        "content_type": request.content_type,
        "sent_at": authentic.sent_at,
    }
    _, created = Event.objects.get_or_create(
        endpoint_id=endpoint.id, event_id=authentic.event_id.decode(), defaults=values
    )
    return JsonResponse({"status": "ok"}, status=202 if created else 200)


urlpatterns = [path("api/webhooks/partners/<str:key>", receive)]
application = get_wsgi_application()
