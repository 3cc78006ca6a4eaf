"""Certificates read back as others read them: PDFium, pypdf, and ZXing as a phone's camera."""

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pypdf
import pypdfium2  # type: ignore[import-untyped]
import pytest
import segno
import typst
import zxingcpp
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handrail.credentials import render
from handrail.credentials.render import (
    CertificateContent,
    CertificateStep,
    MissingGlyph,
    render_certificate,
)

ROSTER = Path(__file__).parents[2] / "examples" / "roster.csv"
VERIFY = "https://handrail.example.org/verify/0197f6c2-7d3e-7c1a-9b55-1d6f0a2b3c4d"
CONTENT = CertificateContent(
    organization_name="Northside Career Institute",
    holder_name="Alice Okafor",
    program_title="Barber Apprenticeship",
    steps=(
        CertificateStep("CPR/AED Certification", "Health & Safety Institute", date(2026, 5, 1)),
        CertificateStep("Milady Standard Barbering", "Milady RISE", date(2026, 12, 31)),
    ),
    number="NCI-2026-000123",
    issued_on=date(2027, 1, 4),
    verification_url=VERIFY,
)
ARABIC, HEBREW, CHINESE = "محمد الأحمد", "שרה כהן", "王小明"


def open_pdf(pdf: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(pdf))


def read_lines(pdf: bytes) -> list[str]:
    lines = [line for page in open_pdf(pdf).pages for line in page.extract_text().splitlines()]
    return [" ".join(line.split()) for line in lines]


def read_as_browser(pdf: bytes) -> list[str]:
    return [
        line
        for page in pypdfium2.PdfDocument(pdf)
        for line in page.get_textpage().get_text_range().splitlines()
    ]


def scan_codes(pdf: bytes) -> list[str]:
    """Scan what is printed: each page as gray pixels at 144 dots per inch."""
    found = []
    for page in pypdfium2.PdfDocument(pdf):
        bitmap = page.render(scale=2, grayscale=True)
        pixels = memoryview(bitmap.buffer).cast("B").cast("B", (bitmap.height, bitmap.stride))
        found += [code.text for code in zxingcpp.read_barcodes(pixels)]
    return found


def has_ink_outside_frame(pdf: bytes) -> bool:
    """Whether anything is printed within a quarter of an inch of a page's edge."""
    for page in pypdfium2.PdfDocument(pdf):
        bitmap = page.render(scale=1, grayscale=True)
        rows = [
            bytes(bitmap.buffer)[y * bitmap.stride :][: bitmap.width] for y in range(bitmap.height)
        ]
        edge = b"".join(rows[:18] + rows[-18:] + [row[:18] + row[-18:] for row in rows])
        if edge.strip(b"\xff"):
            return True
    return False


def test_certificate_says_its_content_and_nothing_else() -> None:
    assert read_lines(render_certificate(CONTENT)) == [
        "Northside Career Institute",
        "Certificate of Completion",
        "This certifies that",
        "Alice Okafor",
        "has completed the program",
        "Barber Apprenticeship",
        "Step Training partner Completed",
        "CPR/AED Certification Health & Safety Institute May 1, 2026",
        "Milady Standard Barbering Milady RISE December 31, 2026",
        "Certificate number NCI-2026-000123",
        "Issued on January 4, 2027",
        f"Verify at {VERIFY}",
    ]


def test_program_without_steps_has_no_table() -> None:
    lines = read_lines(render_certificate(replace(CONTENT, steps=())))
    assert lines[5:7] == ["Barber Apprenticeship", "Certificate number NCI-2026-000123"]


@pytest.mark.parametrize(
    "name",
    [
        CHINESE,
        "김철수",
        "山田 さくら",
        "Αλίκη Παπαδοπούλου",
        "Алиса Ёлкина",
        "Nguyễn Thị Ánh",
        "Siobhán O'Brien-Núñez",
        "Aaliyah Y\u0131lmaz",
    ],
)
def test_name_in_any_script_reads_back_as_typed(name: str) -> None:
    pdf = render_certificate(replace(CONTENT, holder_name=name))
    assert name in read_lines(pdf)
    assert name in read_as_browser(pdf)


def test_devanagari_conjuncts_read_back_as_typed() -> None:
    # pypdf ignores /ActualText, which says what a glyph of several letters stands for; PDFium reads it.
    pdf = render_certificate(replace(CONTENT, holder_name="दीपिका क्षत्रिय"))
    assert "दीपिका क्षत्रिय" in read_as_browser(pdf)


@pytest.mark.parametrize("name", [ARABIC, HEBREW, "فاطمه زهرا رضایی"])
def test_name_from_right_to_left_reads_back_word_by_word(name: str) -> None:
    # A PDF holds such words in the order of their places; readers differ in how they turn it back.
    line = read_lines(render_certificate(replace(CONTENT, holder_name=name)))[3]
    assert sorted(line.split()) == sorted(name.split())


def test_first_word_of_right_to_left_name_stands_right() -> None:
    pdf = render_certificate(replace(CONTENT, holder_name="אבג דהש"))
    text = pypdfium2.PdfDocument(pdf)[0].get_textpage()
    places = {text.get_text_range(i, 1): text.get_charbox(i)[0] for i in range(text.count_chars())}
    assert places["א"] > places["ב"] > places["ג"] > places["ד"] > places["ה"] > places["ש"]


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("Alice", "ltr"),
        (ARABIC, "rtl"),
        (HEBREW, "rtl"),
        ("(1) שלום", "rtl"),
        ("Alice محمد", "ltr"),
        ("محمد Alice", "rtl"),
        ("101", "ltr"),
        ("", "ltr"),
    ],
)
def test_direction_is_that_of_first_strong_letter(text: str, direction: str) -> None:
    assert render._find_direction(text) == direction


def test_combining_marks_sit_on_their_letters() -> None:
    decomposed, composed = "Jose\u0301 N\u0303un\u0303ez", "José Ñuñez"
    pages = [
        pypdfium2.PdfDocument(render_certificate(replace(CONTENT, holder_name=name)))[0]
        for name in (decomposed, composed)
    ]
    first, second = (bytes(page.render(scale=1, grayscale=True).buffer) for page in pages)
    assert first == second


@pytest.mark.parametrize(
    "markup",
    [
        "<b>Bold</b> Tag",
        "#strong[x] $x^2$ *a* _b_ @ref `c`",
        '"); #panic("no") //',
        "= Heading",
        "#sys.inputs.content",
        '=HYPERLINK("http://example.org") Formula',
        r"C:\new\u{41} %PDF /* */ --- ... ~",
    ],
)
def test_markup_comes_out_literally_wherever_it_stands(markup: str) -> None:
    content = CertificateContent(
        organization_name=markup,
        holder_name=markup,
        program_title=markup,
        steps=(CertificateStep(markup, "Milady RISE", date(2026, 5, 1)),),
        number="7",
        issued_on=date(2026, 5, 1),
        verification_url=VERIFY,
    )
    pdf = render_certificate(content)
    lines = read_lines(pdf)
    assert [lines[0], lines[3], lines[5]] == [markup] * 3
    assert f"{markup} Milady RISE May 1, 2026" in lines
    metadata = open_pdf(pdf).metadata
    assert metadata is not None
    assert (metadata.title, metadata.author) == (f"{markup}: {markup}", markup)


def test_white_space_and_byte_order_marks_of_a_spreadsheet_do_not_show() -> None:
    pdf = render_certificate(replace(CONTENT, holder_name="\ufeff  Ana \t María\n López "))
    assert "Ana María López" in read_lines(pdf)


def test_every_name_of_the_example_roster_prints() -> None:
    with ROSTER.open(encoding="utf-8-sig", newline="") as file:
        names = [
            " ".join((row["first_name"] + " " + row["last_name"]).split())
            for row in csv.DictReader(file)
        ]
    assert len(names) == 68
    for name in names:
        lines = read_lines(render_certificate(replace(CONTENT, holder_name=name)))
        assert sorted(lines[3].split()) == sorted(name.split())


def test_qr_code_opens_the_verification_page() -> None:
    assert scan_codes(render_certificate(CONTENT)) == [VERIFY]


def test_verification_address_is_a_link() -> None:
    page: Any = open_pdf(render_certificate(CONTENT)).pages[0]
    links = [annotation.get_object()["/A"]["/URI"] for annotation in page["/Annots"]]
    assert links == [VERIFY]


def test_qr_code_has_the_quiet_zone_scanners_need() -> None:
    modules = segno.make_qr(VERIFY, error="m").symbol_size(border=4)[0]
    assert render._draw_qr(VERIFY).startswith(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{modules}" height="{modules}"'
    )


def test_document_claims_archival_and_accessible_pdf() -> None:
    reader = open_pdf(render_certificate(CONTENT))
    metadata = reader.xmp_metadata
    assert metadata is not None
    xmp = metadata.stream.get_data().decode()
    assert "<pdfaid:part>2</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in xmp
    assert "<pdfuaid:part>1</pdfuaid:part>" in xmp
    catalog: Any = reader.trailer["/Root"]
    assert catalog["/MarkInfo"]["/Marked"].value is True


def test_every_font_is_embedded_and_ours() -> None:
    pdf = render_certificate(replace(CONTENT, holder_name=f"{ARABIC} {CHINESE} Ω Я"))
    resources: Any = open_pdf(pdf).pages[0]["/Resources"]
    fonts = resources["/Font"].values()
    descendants = [font.get_object()["/DescendantFonts"][0].get_object() for font in fonts]
    names = {font["/BaseFont"].split("+")[1] for font in descendants}
    assert names == {
        "NotoSans-Regular",
        "NotoSans-Bold",
        "NotoSansArabic-Regular",
        "NotoSansCJKsc-Regular",
    }
    for font in descendants:
        assert {"/FontFile2", "/FontFile3"} & set(font["/FontDescriptor"])


def test_same_content_gives_same_bytes_in_any_order() -> None:
    first = render_certificate(CONTENT)
    render_certificate(replace(CONTENT, holder_name="Bob"))
    render._load_compiler.cache_clear()
    assert render_certificate(CONTENT) == first


def test_threads_take_turns() -> None:
    contents = [replace(CONTENT, holder_name=f"Alice {i}") for i in range(8)]
    alone = [render_certificate(content) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(render_certificate, contents)) == alone


def test_document_is_dated_with_the_day_of_issue() -> None:
    metadata = open_pdf(render_certificate(CONTENT)).metadata
    assert metadata is not None
    assert metadata.creation_date == datetime(2027, 1, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("Alice 😀", ("😀",)),
        ("བོད", ("བ", "\u0f7c", "ད")),
        ("A\x07B", ("\x07",)),
        ("A\ue000B", ("\ue000",)),
        ("😀 Alice 😀 ཀ", ("😀", "ཀ")),
    ],
)
def test_character_without_glyph_is_refused_by_name(name: str, characters: tuple[str, ...]) -> None:
    with pytest.raises(MissingGlyph) as refusal:
        render_certificate(replace(CONTENT, holder_name=name))
    assert refusal.value.characters == characters


def test_missing_glyph_is_found_in_every_text() -> None:
    step = CertificateStep("😀", "Milady RISE", date(2026, 5, 1))
    contents = [
        replace(CONTENT, organization_name="😀"),
        replace(CONTENT, program_title="😀"),
        replace(CONTENT, steps=(step,)),
        replace(CONTENT, steps=(replace(step, title="A", partner_name="😀"),)),
        replace(CONTENT, number="😀"),
    ]
    for content in contents:
        with pytest.raises(MissingGlyph):
            render_certificate(content)


def test_refusal_names_the_character_for_a_person() -> None:
    with pytest.raises(MissingGlyph) as refusal:
        render_certificate(replace(CONTENT, holder_name="😀\x07"))
    assert str(refusal.value) == (
        "The certificate's fonts lack letters: 😀 (U+1F600, grinning face), (U+0007, no name)"
    )


def test_refusal_names_three_characters_and_counts_the_others() -> None:
    assert str(MissingGlyph(tuple("ABCDE"))) == (
        "The certificate's fonts lack letters: A (U+0041, latin capital letter a), "
        "B (U+0042, latin capital letter b), C (U+0043, latin capital letter c) and 2 more"
    )


def test_certificate_prints_after_a_refusal() -> None:
    with pytest.raises(MissingGlyph):
        render_certificate(replace(CONTENT, holder_name="😀"))
    assert "Alice Okafor" in read_lines(render_certificate(CONTENT))


def test_fault_of_the_template_is_not_taken_for_a_missing_glyph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(render, "_to_template", lambda _: {})
    with pytest.raises(typst.TypstError):
        render_certificate(CONTENT)


def test_many_steps_go_on_on_a_second_page_with_the_heading_again() -> None:
    steps = tuple(replace(CONTENT.steps[0], title=f"Step number {i}") for i in range(30))
    pdf = render_certificate(replace(CONTENT, steps=steps))
    pages = [page.extract_text() for page in open_pdf(pdf).pages]
    assert len(pages) == 2
    assert all("Training partner" in page for page in pages)
    assert "Certificate NCI-2026-000123 · Page 1 of 2" in pages[0]
    assert "Certificate NCI-2026-000123 · Page 2 of 2" in pages[1]
    listed = [line for line in read_lines(pdf) if line.startswith("Step number")]
    assert listed == [f"Step number {i} Health & Safety Institute May 1, 2026" for i in range(30)]
    assert scan_codes(pdf) == [VERIFY]


def test_ten_steps_fit_on_one_page() -> None:
    pdf = render_certificate(replace(CONTENT, steps=CONTENT.steps * 5))
    assert len(open_pdf(pdf).pages) == 1


def test_long_name_wraps_and_keeps_its_words() -> None:
    name = "Maximiliana Konstantinopolitanska-Featherstonehaugh de la Santísima Trinidad y Todos los Santos Ramón"
    lines = read_lines(render_certificate(replace(CONTENT, holder_name=name)))
    start, end = lines.index("This certifies that"), lines.index("has completed the program")
    assert " ".join(lines[start + 1 : end]) == name
    assert end - start == 3


def test_words_without_end_stay_inside_the_page() -> None:
    endless = "W" * 150
    content = replace(
        CONTENT,
        organization_name=endless,
        holder_name=endless,
        program_title=endless,
        steps=(CertificateStep(endless, endless, date(2026, 9, 30)),),
    )
    assert not has_ink_outside_frame(render_certificate(content))
    wide = CHINESE * 60
    assert not has_ink_outside_frame(
        render_certificate(replace(CONTENT, holder_name=wide, program_title=wide))
    )


def list_covered_characters() -> str:
    covered: set[int] = set()
    for path in (Path(render.__file__).parent / "fonts").glob("*-Regular.?tf"):
        with TTFont(path, lazy=True) as font:
            covered |= set(font.getBestCmap())
    return "".join(chr(code) for code in sorted(covered) if chr(code).isprintable())


COVERED = list_covered_characters()


def test_fonts_cover_what_they_promise() -> None:
    for first, last in [
        (0x20, 0x7E),
        (0xA0, 0x17F),
        (0x410, 0x44F),
        (0x5D0, 0x5EA),
        (0x627, 0x63A),
        (0x905, 0x939),
        (0x1EA0, 0x1EF9),
        (0x4E00, 0x9FEF),
        (0xAC00, 0xD7A3),
    ]:
        missing = [
            chr(code)
            for code in range(first, last + 1)
            if chr(code).isprintable() and chr(code) not in COVERED
        ]
        assert missing == []


@settings(max_examples=60, deadline=None)
@example("\u0301")
@example("\u200f")
@example("\u0634\u0651\u0670\u064b")
@given(st.text(alphabet=COVERED, min_size=1, max_size=80))
def test_any_text_of_covered_characters_prints_on_the_page(name: str) -> None:
    pdf = render_certificate(replace(CONTENT, holder_name=name))
    assert not has_ink_outside_frame(pdf)
    assert scan_codes(pdf) == [VERIFY]


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_any_text_at_all_prints_or_is_refused_by_name(name: str) -> None:
    try:
        outcome: bytes | tuple[str, ...] = render_certificate(replace(CONTENT, holder_name=name))
    except MissingGlyph as refusal:
        outcome = refusal.characters
    if isinstance(outcome, bytes):
        assert outcome.startswith(b"%PDF-")
    else:
        assert outcome
        assert set(outcome) <= set(name)
