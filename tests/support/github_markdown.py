"""A job summary as GitHub shows it, as far as that can be had: GitHub's own Markdown, what its sanitiser lets through, its style, Mermaid.

GitHub's order: cmark-gfm with raw HTML, then an allow-list of elements and attributes, then diagrams in a frame. What is not public
is approximated: the list is html-pipeline's and hast-util-sanitize's, alerts and mentions are left as they are, and Mermaid is drawn
in the page itself, in both major versions that GitHub may be running.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Final, Literal

from tests.lab.proxies import NODE_MODULES
from tests.support.browser import Scheme, Shown

MermaidVersion = Literal[10, 11]
MERMAIDS: Final[tuple[MermaidVersion, ...]] = (10, 11)

# html-pipeline, lib/html_pipeline/sanitization_filter.rb, and hast-util-sanitize, lib/schema.js.
ELEMENTS: Final = frozenset(
    {
        *("h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "br", "hr", "p", "div", "span", "section", "blockquote", "pre", "code"),
        *("b", "i", "strong", "em", "del", "ins", "s", "strike", "sup", "sub", "tt", "kbd", "q", "samp", "var", "mark", "small"),
        *("a", "img", "picture", "source", "figure", "figcaption", "ul", "ol", "li", "dl", "dt", "dd", "details", "summary"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "ruby", "rt", "rp"),
        *("abbr", "bdo", "cite", "dfn", "time", "wbr", "input"),
    }
)
ANYWHERE: Final = frozenset(
    {
        *("abbr", "align", "alt", "aria-describedby", "aria-hidden", "aria-label", "aria-labelledby", "colspan", "dir", "height"),
        *("hspace", "id", "itemprop", "label", "lang", "name", "open", "rowspan", "span", "start", "summary", "tabindex", "title"),
        *("valign", "value", "vspace", "width"),
    }
)
ATTRIBUTES: Final[dict[str, frozenset[str]]] = {
    "a": frozenset({"href"}),
    "img": frozenset({"src", "longdesc", "loading"}),
    "blockquote": frozenset({"cite"}),
    "del": frozenset({"cite"}),
    "ins": frozenset({"cite"}),
    "q": frozenset({"cite"}),
    "source": frozenset({"srcset"}),
    "input": frozenset({"type", "checked", "disabled"}),
}
SCHEMES_OF_LINKS: Final = frozenset({"http", "https", "mailto"})
# tagfilter is GitHub's own (GFM, section 6.11); without it, what it makes text of can be counted.
_EXTENSIONS: Final = ("table", "autolink", "strikethrough", "tasklist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Markdown as HTML. `raw` are the elements that it wrote as HTML by itself, `stripped` what the sanitiser took from it."""

    html: str
    raw: tuple[str, ...]
    stripped: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagram:
    """A fence with a diagram: what Mermaid made of it. `error` is what it said instead of drawing; sizes are in CSS pixels.

    `points` are how many bars or points there are of each series of an XY chart: Mermaid may leave some out and say nothing.
    """

    source: str
    error: str | None
    points: tuple[int, ...] = ()
    width: float = 0.0
    height: float = 0.0


class _Tags(HTMLParser):
    """Every element, with its attributes, and every comment."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_comment(self, data: str) -> None:
        self.found.append(("!--", []))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("!", []))

    def handle_pi(self, data: str) -> None:
        self.found.append(("?", []))


def elements(html: str) -> list[str]:
    """The names of a document's elements, in their order."""
    return [tag for tag, _ in _Tags(html).found]


def render(markdown: str) -> Rendered:
    """Markdown as GitHub's comes to HTML, and what of it did not survive."""
    # Of `make lab` alone, as the browser is.
    import nh3
    from cmarkgfm import github_flavored_markdown_to_html, markdown_to_html_with_extensions
    from cmarkgfm.cmark import Options

    options = Options.CMARK_OPT_GITHUB_PRE_LANG | Options.CMARK_OPT_FOOTNOTES
    everything = markdown_to_html_with_extensions(markdown, options | Options.CMARK_OPT_UNSAFE, extensions=_EXTENSIONS)
    markup = markdown_to_html_with_extensions(markdown, options, extensions=_EXTENSIONS).replace("<!-- raw HTML omitted -->", "")
    clean = nh3.clean(
        github_flavored_markdown_to_html(markdown, options | Options.CMARK_OPT_UNSAFE),
        tags=set(ELEMENTS),
        attributes={"*": set(ANYWHERE), **{tag: set(names) for tag, names in ATTRIBUTES.items()}},
        url_schemes=set(SCHEMES_OF_LINKS),
        link_rel="nofollow",
    )
    raw = Counter(elements(everything)) - Counter(elements(markup))
    return Rendered(html=clean, raw=tuple(sorted(raw)), stripped=tuple(_stripped(everything)))


def _stripped(html: str) -> list[str]:
    """The elements and the attributes that are on no list, as `tag` and `tag attribute`."""
    found = []
    for tag, names in _Tags(html).found:
        allowed = ANYWHERE | ATTRIBUTES.get(tag, frozenset())
        found += [f"{tag} {name}" for name in names if name not in allowed] if tag in ELEMENTS else [tag]
    return found


_PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Summary</title>
<style>{style}
html {{ color-scheme: light dark; }}
body {{ margin: 0; background: #fff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #0d1117; }} }}
main.markdown-body {{ box-sizing: border-box; max-width: 1012px; margin: 0 auto; padding: 24px; }}
@media (max-width: 767px) {{ main.markdown-body {{ padding: 15px; }} }}
.diagram {{ margin-bottom: 16px; overflow: auto; border: 1px solid #8886; border-radius: 6px; padding: 16px; text-align: center; }}
</style></head>
<body><main class="markdown-body">
{body}
</main></body></html>
"""


def write_page(markdown: str, path: Path) -> Rendered:
    """Write the page that a browser shows of it; `draw` draws its diagrams there."""
    rendered = render(markdown)
    style = (NODE_MODULES / "github-markdown-css/github-markdown.css").read_text(encoding="utf-8")
    path.write_text(_PAGE.format(style=style, body=rendered.html), encoding="utf-8")
    return rendered


_DRAW: Final = """async (theme) => {
    mermaid.initialize({startOnLoad: false, securityLevel: "strict", theme});
    const drawn = [];
    for (const [number, fence] of [...document.querySelectorAll('pre[lang="mermaid"]')].entries()) {
        const source = fence.textContent, box = document.createElement("div");
        box.className = "diagram";
        try {
            box.innerHTML = (await mermaid.render(`diagram-${number}`, source)).svg;
            fence.replaceWith(box);
            const {width, height} = box.querySelector("svg").getBoundingClientRect();
            const series = [...box.querySelectorAll('[class^="bar-plot-"], [class^="line-plot-"]')];
            const points = series.map((s) => s.querySelectorAll("rect").length || s.querySelector("path").getAttribute("d").split("L").length);
            drawn.push({source, error: null, points, width, height});
        } catch (error) {
            // Mermaid 10 leaves its own picture of the error at the end of the page.
            document.querySelectorAll(`[id$="diagram-${number}"]`).forEach((left) => left.remove());
            box.textContent = `Unable to render rich display: ${error.message}`;
            fence.before(box);
            drawn.push({source, error: String(error.message)});
        }
    }
    return drawn;
}"""


def draw(page: Shown, version: MermaidVersion, scheme: Scheme) -> list[Diagram]:
    """Put each diagram in the place of its fence, as Mermaid of this version draws it; where it cannot, say why."""
    page.load(NODE_MODULES / f"mermaid{version}/dist/mermaid.min.js")
    drawn = page.evaluate(_DRAW, {"light": "default", "dark": "dark"}[scheme])
    return [Diagram(**{**each, "points": tuple(each.get("points", ()))}) for each in drawn]
