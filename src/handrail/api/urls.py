"""Addresses below /api/; webhooks never come here."""

from django.urls import path

from handrail.api.views import enroll_at_milady, enroll_at_partner

urlpatterns = [
    path("partner/enroll", enroll_at_partner, name="api_enroll"),
    path("milady/auto-enroll", enroll_at_milady, name="api_enroll_milady"),
]
