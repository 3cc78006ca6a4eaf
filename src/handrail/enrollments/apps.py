from django.apps import AppConfig


class EnrollmentsConfig(AppConfig):
    name = "handrail.enrollments"

    def ready(self) -> None:
        """Tell the inbox who applies what partners report, and the worker what it runs."""
        from handrail.core.jobs import register_timer
        from handrail.core.worker import register_service
        from handrail.enrollments.actions import retry_configured
        from handrail.enrollments.reports import apply_webhooks
        from handrail.inbox.registry import register_handler
        from handrail.partners.actions import register_configured

        register_handler("partner", apply_webhooks)
        register_configured(retry_configured)
        register_service("provisioning", "handrail.enrollments.provisioning.run_provisioning")
        register_service("reconciling", "handrail.enrollments.reconciling.run_reconciling")
        register_timer(
            "start_due_enrollments",
            expression="* * * * * */5",
            function="handrail.enrollments.timers.start_due_enrollments",
        )
        register_timer(
            "release_providers",
            expression="* * * * * 20",
            function="handrail.enrollments.timers.release_providers",
        )
