"""How django-allauth behaves here."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):
    """Nobody signs up by himself yet: profiles are made by commands."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Answer no; the page then says whom to ask."""
        return False
