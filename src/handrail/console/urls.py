from django.urls import path
from django.views.generic import RedirectView

from handrail.console.views import attention, enrollments, events, people, pipeline, transfers

app_name = "console"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="console:pipeline")),
    path("pipeline", pipeline.show_pipeline, name="pipeline"),
    path("pipeline/<uuid:program_id>/<uuid:course_id>", pipeline.show_at_step, name="at-step"),
    path("organization", pipeline.switch_organization, name="switch"),
    path("attention", attention.show_list, name="attention"),
    path("attention/try-again", attention.retry_selected, name="retry-selected"),
    path("attention/<uuid:item_id>", attention.show_case, name="case"),
    path("attention/<uuid:item_id>/<slug:name>", attention.settle, name="settle"),
    path("people", people.show_people, name="people"),
    path("people.csv", people.export, name="export"),
    path("enrollments/<uuid:enrollment_id>", enrollments.show_enrollment, name="enrollment"),
    path("enrollments/<uuid:enrollment_id>/transfer", transfers.transfer, name="transfer"),
    path(
        "enrollments/<uuid:enrollment_id>/<slug:name>",
        enrollments.decide_enrollment,
        name="decide-enrollment",
    ),
    path("steps/<uuid:step_id>", enrollments.show_step, name="step"),
    path("steps/<uuid:step_id>/<slug:name>", enrollments.decide_step, name="decide-step"),
    path("certificates/<uuid:credential_id>.pdf", enrollments.download, name="certificate"),
    path("events", events.show_events, name="events"),
    path("events/<uuid:event_id>", events.show_event, name="event"),
    path("events/<uuid:event_id>/<slug:name>", events.decide_event, name="decide-event"),
]
