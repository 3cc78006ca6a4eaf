"""Writes everybody's certificate to a folder."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from handrail.credentials.models import CredentialDocument

LONGEST_NAME = 80  # letters: with four bytes each still a name that every file system takes


def export_certificates(folder: Path) -> int:
    """Write each valid certificate as a PDF named by its number and holder; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    documents = CredentialDocument.objects.filter(credential__revoked_at=None)
    for document in documents.select_related("credential").iterator(chunk_size=100):
        credential = document.credential
        name = make_file_name(f"{credential.number} {credential.holder_name}")
        (folder / f"{name}.pdf").write_bytes(bytes(document.pdf))
        count += 1
    return count


def make_file_name(text: str) -> str:
    """Return a name that no system and no shell misunderstands: letters, digits, marks, space, - ' ."""
    letters = "".join(_keep_safe(unicodedata.normalize("NFC", text)))
    return " ".join(letters.split())[:LONGEST_NAME].rstrip(" .") or "_"


def _keep_safe(text: str) -> Iterator[str]:
    for at, letter in enumerate(text):
        is_letter = unicodedata.category(letter)[0] in "LMN"
        yield letter if is_letter or letter in " '" or (letter in "-." and at) else "_"
