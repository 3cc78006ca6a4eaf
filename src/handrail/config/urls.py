"""All addresses of Handrail; each face brings its own `urls.py`.

Webhooks, `/healthz`, `/readyz` and `/static/` never come here: `asgi.py` answers them.
"""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path

FACES = {
    "student": "student/",
    "console": "admin/",
    "api": "api/",
    "public": "",
}

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include("handrail.people.urls")),
    *(
        path(prefix, include(f"handrail.{face}.urls"))
        for face, prefix in FACES.items()
        if find_spec(f"handrail.{face}.urls")
    ),
]
