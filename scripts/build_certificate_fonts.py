#!/usr/bin/env python3
"""Make the fonts of the certificates from Debian's font packages.

Needed only when a font is added or renewed; the result is committed. On Debian 12:

    apt-get download fonts-noto-core fonts-noto-cjk
    for package in fonts-noto-*.deb; do dpkg -x $package unpacked; done
    .venv/bin/python scripts/build_certificate_fonts.py unpacked

Takes about two minutes and gives the same bytes each time.
"""

import shutil
import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

FONTS = Path(__file__).parent.parent / "src" / "handrail" / "credentials" / "fonts"
COPIED = [
    f"NotoSans{script}-{weight}.ttf"
    for script in ("", "Arabic", "Hebrew", "Devanagari")
    for weight in ("Regular", "Bold")
]
CJK_COLLECTION = "NotoSansCJK-Regular.ttc"
CJK_SIMPLIFIED_CHINESE = 2
# Syllables composed from Hangul jamo and the like; the rest of the
# collection's features choose Japanese, Korean or Traditional forms, or vertical writing.
CJK_FEATURES = ["ccmp", "ljmo", "vjmo", "tjmo", "calt", "liga"]


def extract_simplified_chinese(collection: Path, target: Path) -> None:
    """Save the Simplified Chinese face with every character it maps, without forms it cannot reach."""
    font = TTFont(collection, fontNumber=CJK_SIMPLIFIED_CHINESE, recalcTimestamp=False)
    options = Options()
    options.layout_features = CJK_FEATURES
    options.layout_scripts = ["*"]
    options.name_IDs = ["*"]
    options.name_languages = ["*"]
    options.notdef_outline = True
    options.hinting = False
    options.drop_tables += ["VORG", "vhea", "vmtx"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=list(font.getBestCmap()))
    subsetter.subset(font)
    font.save(target)


def main(unpacked: Path) -> None:
    """Fill the folder of fonts from `unpacked`, the folder with the contents of the two packages."""
    noto = unpacked / "usr" / "share" / "fonts"
    for name in COPIED:
        shutil.copyfile(noto / "truetype" / "noto" / name, FONTS / name)
    extract_simplified_chinese(
        noto / "opentype" / "noto" / CJK_COLLECTION, FONTS / "NotoSansCJKsc-Regular.otf"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
