"""A report as a test reads it, and how a run's files are changed."""

import json
import re
from html.parser import HTMLParser

from burnish.evaluation.report.write import write_report

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "h1", "h2", "h3"),
    *("p", "b", "br", "span", "small", "mark", "div", "figure", "figcaption", "details", "summary", "pre", "code"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "g", "path", "rect", "text", "use", "defs", "clippath"),
}
FETCHING = {"src", "href", "xlink:href", "action", "formaction", "data", "srcset", "poster", "background"}


class Page(HTMLParser):
    """A page's tags, attributes and text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.pieces, self.inside, self.style = set(), [], [], [], ""
        self.feed(html)
        self.text = re.sub(r"[ \n]+", " ", " ".join(self.pieces))
        self.unbroken = "".join(self.pieces)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if self.inside and self.inside[-1] == "style":
            self.style += data
        else:
            self.pieces.append(data)


def page_of(run_folder):
    return Page(write_report(run_folder).read_text(encoding="utf-8"))


def changed(path, change):
    """Rewrite a JSON file by `change`."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
