from django.apps import AppConfig


class EnrollmentsConfig(AppConfig):
    name = "handrail.enrollments"

    def ready(self) -> None:
        """Tell the inbox who applies what partners report, and the worker what it runs."""
        from handrail.core.jobs import register_timer
        from handrail.core.worker import register_service
        from handrail.enrollments.reports import apply_webhooks
        from handrail.inbox.registry import register_handler

        register_handler("partner", apply_webhooks)
        register_service("provisioning", "handrail.enrollments.provisioning.run_provisioning")
        register_service("reconciling", "handrail.enrollments.reconciling.run_reconciling")
        register_timer(
            "start_due_enrollments",
            expression="* * * * * */5",
            function="handrail.enrollments.timers.start_due_enrollments",
        )
