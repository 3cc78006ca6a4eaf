"""All addresses of Handrail; each face brings its own `urls.py`.

Webhooks, `/healthz`, `/readyz` and `/static/` never come here: `asgi.py` answers them.
"""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include("handrail.people.urls")),
    path("student/", include("handrail.student.urls")),
    path("admin/", include("handrail.console.urls")),
    path("api/", include("handrail.api.urls")),
    path("", include("handrail.public.urls")),
]
