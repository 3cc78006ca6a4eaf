from django.urls import path

from handrail.public import views

app_name = "public"
urlpatterns = [
    path("", views.go_home, name="home"),
    path("verify/<uuid:credential_id>", views.verify, name="verify"),
    path("verify/<str:typed>", views.verify_typed),
]
