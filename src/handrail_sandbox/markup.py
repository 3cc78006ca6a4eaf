"""HTML put together from elements, every text escaped."""

from collections.abc import Iterable
from html import escape

from aiohttp import web

VOID = {"input", "link", "meta"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | Iterable["Child"] | None


def tag(name: str, /, *children: Child, **attributes: str | bool | None) -> Markup:
    """Return an element. `class_` is class, `aria_label` is aria-label; False and None are left out."""
    words = [name]
    for key, value in attributes.items():
        plain = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(plain)
        elif value is not False and value is not None:
            words.append(f'{plain}="{escape(value)}"')
    start = f"<{' '.join(words)}>"
    return Markup(start if name in VOID else f"{start}{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return the children as HTML, texts escaped."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int | float):
        return Markup(escape(str(children)))
    return Markup("".join(join(child) for child in children))


def respond_page(
    title: str, *children: Child, site: str = "Partner sandbox", status: int = 200
) -> web.Response:
    """Return a whole page: `site` is the platform's name, in the header of each page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} – {site}"),
        tag("link", rel="stylesheet", href="/style.css"),
        tag("link", rel="icon", href="data:,"),
    )
    note = tag("p", "A sandbox: this is not the real partner, and nobody here is real.")
    header = tag("header", tag("p", site, class_="site"), note)
    body = tag("body", header, tag("main", tag("h1", title), *children))
    html = "<!doctype html>" + tag("html", head, body, lang="en")
    return web.Response(text=html, content_type="text/html", status=status, headers=HEADERS)


def link(text: Child, href: str) -> Markup:
    return tag("a", text, href=href)


def facts(*pairs: tuple[str, Child]) -> Markup:
    """Return a description list, without what is empty."""
    shown = [(name, join(value)) for name, value in pairs]
    return tag("dl", [tag("div", tag("dt", n), tag("dd", v)) for n, v in shown if v])


def notice(text: str, *, is_error: bool = False) -> Markup:
    """Return a message that a screen reader announces."""
    role = "alert" if is_error else "status"
    return tag("p", text, class_=f"notice {role}", role=role)


def field(label: str, name: str, *, value: str = "", kind: str = "text", hint: str = "") -> Markup:
    """Return a labeled text field that must be filled."""
    return tag(
        "p",
        tag("label", label, for_=name),
        tag("input", id=name, name=name, type=kind, value=value, required=True, autocomplete=hint),
    )


def button(text: str, *, name: str = "", value: str = "", quiet: bool = False) -> Markup:
    return tag(
        "button",
        text,
        type="submit",
        name=name or None,
        value=value or None,
        class_="quiet" if quiet else None,
    )
