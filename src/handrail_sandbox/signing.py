"""The proofs of the sender: one function a scheme, over the bytes that go on the wire.

Standard Webhooks 1.0 (symmetric), HMAC-SHA256 in hex, and the origin's shared secret in a header.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode

SCHEMES = ("standard-webhooks", "hmac-sha256-hex", "shared-secret")
OTHER_KEY = "whsec_" + b64encode(b"a key that nobody was told: 32 b").decode()


def sign(
    *,
    scheme: str,
    secret: str,
    previous_secret: str | None,
    event_id: str,
    body: bytes,
    now: float,
    fault: str = "",
) -> dict[str, str]:
    """Return the headers of one try.

    `fault` spoils the proof on purpose: old_time, wrong_key, malformed_first (see faults.py).
    """
    if fault == "wrong_key":
        secret, previous_secret = OTHER_KEY, None
    if scheme == "shared-secret":
        return {"x-webhook-secret": secret}
    if scheme == "hmac-sha256-hex":
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return {"x-webhook-signature": digest, "x-webhook-id": event_id}
    timestamp = int(now) - (600 if fault == "old_time" else 0)
    secrets = [secret, *([previous_secret] if previous_secret else [])]
    entries = [_sign_standard(key, event_id, timestamp, body) for key in secrets]
    if fault == "malformed_first":
        entries.insert(0, "v1")
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(entries),
    }


def _sign_standard(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
