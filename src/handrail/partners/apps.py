from django.apps import AppConfig


class PartnersConfig(AppConfig):
    name = "handrail.partners"

    def ready(self) -> None:
        """Tell the inbox how partners sign."""
        from handrail.inbox.registry import register_schemes
        from handrail.partners.signatures import verify

        register_schemes(verify)
