"""The seven adapters of the origin: the contracts they share, and the quirks of each."""

from tests.partners.adapter_contract import AdapterContract


class TestMilady(AdapterContract):
    slug = "milady"
    course = "MS-BARB"
    credentials = {"api_key": "mil-key", "organization_id": "SCHOOL-1"}


class TestHsi(AdapterContract):
    slug = "hsi"
    course = "HSI-CPR-AED"
    credentials = {"api_key": "hsi-key", "organization_id": "ORG-1"}


class TestCertiport(AdapterContract):
    slug = "certiport"
    course = "MOS-365"
    credentials = {"api_key": "cpt-key", "organization_id": "ORG-2"}
    scheme = "hmac-sha256-hex"


class TestCareerSafe(AdapterContract):
    slug = "careersafe"
    course = "OSHA10-GI"
    credentials = {"api_key": "csf-key", "organization_id": "ORG-3"}
    scheme = "shared-secret"


class TestNrf(AdapterContract):
    slug = "nrf"
    course = "SS-MGR"
    credentials = {"api_key": "nrf-key", "organization_id": "ORG-6"}


class TestNds(AdapterContract):
    slug = "nds"
    course = "NDS-COLLECTOR"
    credentials = {"api_key": "nds-key", "organization_id": "ORG-7"}
    enrolls_again = "another"
    sensitive = True
