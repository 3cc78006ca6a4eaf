"""The outbound client checks certificates; a process of its own trusts what the test tells it to."""

import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.scripted_partner import run_scripted_partner

TLS_CLIENT = """
import asyncio, sys
from handrail.core.outbound import CallFailed, OutboundPool

async def main(port):
    pool = OutboundPool(allowed_private_hosts=[("localhost", port), ("127.0.0.1", port)])
    for host in ("localhost", "127.0.0.1"):
        client = pool.bind(provider=host, base_url=f"https://{host}:{port}")
        try:
            print((await client.request_json("GET", "/", headers={})).status)
        except CallFailed as error:
            print(type(error).__name__, getattr(error, "outage", None))
    await pool.close()

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("trust", "said"),
    [
        ("certificate.pem", ["200", "RetryLater True"]),
        ("none", ["RetryLater True", "RetryLater True"]),
    ],
)
def test_the_certificate_and_its_name_are_checked(
    tmp_path: Path, trust: str, said: list[str]
) -> None:
    tls = make_certificate(tmp_path, name="localhost")
    files = {"SSL_CERT_FILE": str(tmp_path / trust), "SSL_CERT_DIR": str(tmp_path / "none")}
    with run_scripted_partner(tls) as partner:
        script = [sys.executable, "-c", TLS_CLIENT, str(partner.port)]
        done = subprocess.run(
            script, env={**os.environ, **files}, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == said
        assert len(partner.requests) == said.count("200")


def make_certificate(folder: Path, *, name: str) -> ssl.SSLContext:
    """Make `certificate.pem`, which signs itself; return a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path = folder / "key.pem"
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path, key_path)
    return tls
