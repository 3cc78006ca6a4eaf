from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "handrail.core"

    def ready(self) -> None:
        """Have the worker run jobs and timers, and send mail."""
        from handrail.core.jobs import register_job, register_timer
        from handrail.core.worker import register_service

        register_service("jobs", "handrail.core.job_runner.run_jobs")
        register_job("send_mail", "handrail.core.mail.send_waiting_mails")
        register_timer(
            "send_waiting_mails",
            expression="* * * * *",
            function="handrail.core.mail.send_waiting_mails",
        )
