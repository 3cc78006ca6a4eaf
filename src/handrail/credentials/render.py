"""Render a credential as a PDF certificate: PDF/A-2a and PDF/UA-1, every script of the fonts in `fonts/`.

Pure: content in, bytes out; no database, no network, no clock. The same content gives the same bytes.
"""

import io
import json
import re
import threading
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Final, cast

import segno
import typst

_HERE: Final = Path(__file__).parent
# The compiler names the text of each glyph it lacks as a Rust string literal: "😀" or "\u{1f600}".
_UNPRINTABLE: Final = re.compile(
    r'the text (?:contains the disallowed codepoint )?`"((?:[^"\\]|\\.)*)"`'
)
_RUST_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")
_NAMED: Final = 3
_RUST_NAMED: Final = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


@dataclass(frozen=True, slots=True)
class CertificateStep:
    """A completed step: its title, the training partner's name, the day it was completed."""

    title: str
    partner_name: str
    completed_on: date


@dataclass(frozen=True, slots=True)
class CertificateContent:
    """What a certificate says. Every text is shown as typed, in any script, whatever markup it holds.

    `number` is the credential's number, `verification_url` the absolute address of its verification
    page; `steps` come in the order in which they are listed, and may be empty.
    """

    organization_name: str
    holder_name: str
    program_title: str
    steps: tuple[CertificateStep, ...]
    number: str
    issued_on: date
    verification_url: str


class MissingGlyph(Exception):
    """A text has characters that none of the certificate's fonts can show; nothing was rendered.

    A person must correct the text, or a font must be added to `fonts/`. Trying again does not help.
    """

    def __init__(self, characters: tuple[str, ...]) -> None:
        self.characters = characters
        named = ", ".join(_name_character(character) for character in characters[:_NAMED])
        more = f" and {len(characters) - _NAMED} more" if len(characters) > _NAMED else ""
        super().__init__(f"The certificate's fonts lack letters: {named}{more}")


def render_certificate(content: CertificateContent) -> bytes:
    """Return the certificate as a PDF of one page, or more when the steps are many.

    Runs of white space become one space. Some 20 ms, most of them without Python's global lock: from
    asyncio call it in a thread. Several threads take turns. Raises `MissingGlyph`.
    """
    inputs = {"content": json.dumps(_to_template(content))}
    issued_at = datetime.combine(content.issued_on, time(), tzinfo=UTC)
    compiler, lock = _load_compiler()
    try:
        with lock:
            document = compiler.compile(
                format="pdf",
                sys_inputs=inputs,
                pdf_standards=["a-2a", "ua-1"],
                timestamp=issued_at,
            )
    except typst.TypstError as error:
        if missing := _find_missing_characters(error.diagnostic):
            raise MissingGlyph(missing) from error
        raise
    return cast("bytes", document)  # a list only for images, None only with an output path


@cache
def _load_compiler() -> tuple[typst.Compiler, threading.Lock]:
    # One for the process: it keeps the parsed template and what it has shaped before. It
    # is not reentrant; a second thread would get "Already borrowed".
    fonts = typst.Fonts(
        include_system_fonts=False, include_embedded_fonts=False, font_paths=[_HERE / "fonts"]
    )
    compiler = typst.Compiler(
        _HERE / "typst" / "certificate.typ",
        root=_HERE / "typst",
        font_paths=fonts,
        ignore_system_fonts=True,
    )
    return compiler, threading.Lock()


def _to_template(content: CertificateContent) -> dict[str, object]:
    issued = content.issued_on
    return {
        "title": f"{_clean(content.program_title)}: {_clean(content.holder_name)}",
        "organization": _to_phrase(content.organization_name),
        "holder": _to_phrase(content.holder_name),
        "program": _to_phrase(content.program_title),
        "steps": [
            {
                "title": _to_phrase(step.title),
                "partner": _to_phrase(step.partner_name),
                "completed": _format_date(step.completed_on),
            }
            for step in content.steps
        ],
        "number": _to_phrase(content.number),
        "issued": {"year": issued.year, "month": issued.month, "day": issued.day},
        "issued_words": _format_date(issued),
        "verification_url": content.verification_url,
        "qr": _draw_qr(content.verification_url),
    }


def _to_phrase(text: str) -> dict[str, str]:
    cleaned = _clean(text)
    return {"text": cleaned, "direction": _find_direction(cleaned)}


def _clean(text: str) -> str:
    # U+FEFF is what a byte order mark becomes in the middle of a text; PDF/A-2a forbids it.
    return " ".join(text.replace("\ufeff", "").split())


def _find_direction(text: str) -> str:
    """The direction of the first strong character (Unicode bidirectional algorithm, rules P2 and P3)."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in {"L", "R", "AL"}:
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def _format_date(day: date) -> str:
    return f"{day:%B} {day.day}, {day.year}"


def _draw_qr(url: str) -> str:
    """The QR code as SVG, with the 4 modules of quiet zone that ISO/IEC 18004 asks for."""
    drawing = io.BytesIO()
    segno.make_qr(url, error="m").save(drawing, kind="svg", border=4, xmldecl=False)
    return drawing.getvalue().decode()


def _find_missing_characters(diagnostic: str) -> tuple[str, ...]:
    texts = [_unescape_rust(text) for text in _UNPRINTABLE.findall(diagnostic)]
    return tuple(dict.fromkeys(character for text in texts for character in text))


def _unescape_rust(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code, escaped = match.groups()
        return chr(int(code, 16)) if code else _RUST_NAMED.get(escaped, escaped)

    return _RUST_ESCAPE.sub(replace, text)


def _name_character(character: str) -> str:
    name = unicodedata.name(character, "no name")
    shown = f"{character} " if character.isprintable() else ""
    return f"{shown}(U+{ord(character):04X}, {name.lower()})"
