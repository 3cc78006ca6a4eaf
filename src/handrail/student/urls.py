from django.urls import path
from django.views.generic import RedirectView

from handrail.student import views

app_name = "student"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="student:progress")),
    path("progress", views.show_progress, name="progress"),
    path("steps/<uuid:step_id>/choose", views.choose, name="choose"),
    path("steps/<uuid:step_id>/take-back", views.take_back, name="take-back"),
    path("steps/<uuid:step_id>/launch", views.launch, name="launch"),
    path("certificates/<uuid:credential_id>.pdf", views.download, name="certificate"),
]
