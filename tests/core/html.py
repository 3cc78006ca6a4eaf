"""Reading pages in tests: elements, their attributes, what points at what."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta"}


@dataclass
class Element:
    """An element with its attributes and all text inside it."""

    tag: str
    attributes: dict[str, str]
    words: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class Page(HTMLParser):
    """All elements of a page, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.words.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements of a tag with these attributes (`class_` holds that class among others)."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and all(
                value in element.attributes.get(name.rstrip("_"), "").split()
                if name == "class_"
                else element.attributes.get(name) == value
                for name, value in attributes.items()
            )
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        (element,) = self.all(tag, **attributes)
        return element

    @property
    def ids(self) -> list[str]:
        return [element.attributes["id"] for element in self.elements if "id" in element.attributes]

    def find_faults(self) -> list[str]:
        """What a screen reader would stumble over: pointers to nothing, controls without a name."""
        pointers = ("for", "aria-describedby", "aria-controls", "aria-labelledby")
        labeled = {label.attributes.get("for") for label in self.all("label")}
        faults = [f"id {name} twice" for name in {i for i in self.ids if self.ids.count(i) > 1}]
        for element in self.elements:
            targets = [
                target
                for pointer in pointers
                for target in element.attributes.get(pointer, "").split()
            ]
            href = element.attributes.get("href", "")
            if element.tag == "a" and href.startswith("#"):
                targets.append(href[1:])
            faults += [
                f"{target} is pointed at, not there" for target in set(targets) - set(self.ids)
            ]
            if element.tag in {"input", "select", "textarea"}:
                named = (
                    element.attributes.get("id") in labeled or "aria-label" in element.attributes
                )
                if element.attributes.get("type") != "hidden" and not named:
                    faults.append(f"{element.attributes.get('name')} has no label")
        return faults
