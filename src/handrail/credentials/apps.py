from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "handrail.credentials"

    def ready(self) -> None:
        """Tell the worker what it does for us."""
        from handrail.core.jobs import register_job, register_timer

        register_job("render_certificate", "handrail.credentials.jobs.make_certificate")
        register_timer(
            "enqueue_lost_certificates",
            expression="* * * * * 30",
            function="handrail.credentials.jobs.enqueue_lost_certificates",
        )
