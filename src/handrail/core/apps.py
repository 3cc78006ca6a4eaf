from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "handrail.core"

    def ready(self) -> None:
        """Have the worker run jobs and timers."""
        from handrail.core.worker import register_service

        register_service("jobs", "handrail.core.job_runner.run_jobs")
