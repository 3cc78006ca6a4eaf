#!/usr/bin/env python3
"""Copy USWDS and htmx into the package, only what the pages can ask for.

Needed only to renew them; the result is committed, so that nothing is built or fetched later:

    npm pack @uswds/uswds@3.14.0 htmx.org@2.0.11
    mkdir uswds htmx
    tar xzf uswds-uswds-3.14.0.tgz -C uswds --strip-components 1
    tar xzf htmx.org-2.0.11.tgz -C htmx --strip-components 1
    python3 scripts/vendor_static.py uswds htmx
"""

import re
import shutil
import sys
from pathlib import Path

STATIC = Path(__file__).parent.parent / "src" / "handrail" / "core" / "static"
STYLES = "css/uswds.min.css"
ASSETS = re.compile(r"url\(\.\./([^)]+)\)")
SOURCE_MAP = re.compile(r"\n?(/\*|//)# sourceMappingURL=\S+( \*/|\*/)?\s*$")


def copy_text(source: Path, target: Path) -> str:
    """Copy a style sheet or script without the pointer to its source map, which we do not bring."""
    text = SOURCE_MAP.sub("\n", source.read_text())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return text


def copy_file(source: Path, target: Path) -> None:
    """Copy a file unchanged."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def vendor_uswds(package: Path) -> None:
    """The styles, what they point at, the script, the icons, the license."""
    dist, target = package / "dist", STATIC / "uswds"
    styles = copy_text(dist / STYLES, target / STYLES)
    for asset in sorted(set(ASSETS.findall(styles))):
        copy_file(dist / asset, target / asset)
    copy_text(dist / "js" / "uswds.min.js", target / "js" / "uswds.min.js")
    copy_file(dist / "img" / "sprite.svg", target / "img" / "sprite.svg")
    copy_file(package / "LICENSE.md", target / "LICENSE.txt")


def vendor_htmx(package: Path) -> None:
    """The script and its license."""
    copy_text(package / "dist" / "htmx.min.js", STATIC / "htmx" / "htmx.min.js")
    copy_file(package / "LICENSE", STATIC / "htmx" / "LICENSE")


if __name__ == "__main__":
    vendor_uswds(Path(sys.argv[1]))
    vendor_htmx(Path(sys.argv[2]))
