import pytest
from yarl import URL

from handrail.core.addresses import AddressPolicy, AddressRefused

POLICY = AddressPolicy([("127.0.0.1", 9100), ("lms.internal", 443), ("169.254.169.254", 80)])

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"]
NOT_PUBLIC = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",  # metadata, Alibaba
    "169.254.169.254",  # metadata, most
    "168.63.129.16",  # host service, Azure
    "192.0.0.192",  # metadata, Oracle
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "198.18.0.1",
    "192.0.2.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",  # NAT64 of a private one
    "64:ff9b:1::10.0.0.1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2001:0:1:2:3:4:5:6",  # Teredo
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata, Amazon
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "4000::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert POLICY.admits(host="partner.example.org", port=443, address=address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_address_may_not_be_reached(address: str) -> None:
    assert not POLICY.admits(host="partner.example.org", port=443, address=address)
    literal = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused, match="not a public address"):
        POLICY.check_url(URL.build(scheme="https", authority=literal))


def test_a_listed_host_may_be_private_on_its_port_only() -> None:
    assert POLICY.admits(host="lms.internal", port=443, address="10.1.2.3")
    assert POLICY.admits(host="LMS.Internal", port=443, address="10.1.2.3")
    assert not POLICY.admits(host="lms.internal", port=5432, address="10.1.2.3")
    assert not POLICY.admits(host="evil.example.org", port=443, address="10.1.2.3")


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1"])  # noqa: S104
def test_link_local_and_meaningless_addresses_may_never_be_reached(address: str) -> None:
    assert not POLICY.admits(host="lms.internal", port=443, address=address)


def test_metadata_may_not_even_be_listed() -> None:
    with pytest.raises(AddressRefused):
        POLICY.check_url(URL("http://169.254.169.254"))


@pytest.mark.parametrize(
    "url",
    ["https://partner.example.org/api", "https://93.184.215.14:8443", "http://127.0.0.1:9100/hsi"],
)
def test_usual_addresses_pass(url: str) -> None:
    POLICY.check_url(URL(url))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://partner.example.org", "must begin with https"),
        ("http://127.0.0.1:9101/", "must begin with https"),
        ("http://lms.internal:80/", "must begin with https"),
        ("ftp://partner.example.org:21/", "must begin with https"),
        ("https://127.0.0.1/", "127.0.0.1 is not a public address"),
        ("https://[::ffff:10.0.0.1]/", "is not a public address"),
        ("https://user:password@partner.example.org/", "and nothing more"),
        ("https://partner.example.org/?x=1", "and nothing more"),
        ("https://partner.example.org/#x", "and nothing more"),
        ("/api", "and nothing more"),
        ("file:///etc/passwd", "and nothing more"),
        ("", "and nothing more"),
    ],
)
def test_other_urls_are_refused_with_a_reason(url: str, message: str) -> None:
    with pytest.raises(AddressRefused, match=message):
        POLICY.check_url(URL(url))


def test_what_is_no_address_at_all_is_not_reached() -> None:
    assert not POLICY.admits(host="lms.internal", port=443, address="partner.example.org")
