"""Reading a page as a browser's parser does: elements with their attributes, and text."""

import json
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Elements of a page by tag, the text of each, and whether tags are balanced."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.texts = [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.handle_data(" ")
        if tag not in VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        opened, _ = self.open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, text):
        for _, index in self.open:
            self.texts[index] = self.texts.get(index, "") + text

    def all(self, tag, **wanted):
        """Return attributes of the elements of a tag."""
        return [a for t, a in self.elements if t == tag and all(a.get(key) == wanted[key] for key in wanted)]

    def text(self, tag, **wanted):
        """Return the text of the elements of a tag."""
        return [
            " ".join(self.texts.get(index, "").split())
            for index, (t, a) in enumerate(self.elements)
            if t == tag and all(a.get(key) == wanted[key] for key in wanted)
        ]

    @property
    def data(self):
        """The data of the script."""
        (text,) = [self.texts[n] for n, (t, a) in enumerate(self.elements) if t == "script" and a.get("id") == "data"]
        return json.loads(text)
