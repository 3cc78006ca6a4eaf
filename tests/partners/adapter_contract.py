"""What every adapter must pass: inherit `AdapterContract` and name the platform."""

from tests.partners.behavior_contract import BehaviorContract
from tests.partners.error_contract import ErrorContract
from tests.partners.translation_contract import TranslationContract


class AdapterContract(BehaviorContract, ErrorContract, TranslationContract):
    """A partner that works, one that does not, and whatever comes as a webhook."""
