"""Pieces of a web page that stands alone: no script, no font, no picture and no style from elsewhere."""

import base64
import html
from collections.abc import Collection, Iterable, Sequence

STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 64rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: break-word }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; border-bottom: 1px solid #ccc }
h3 { font-size: 1rem; margin: 1.5rem 0 .3rem }
.answer { font-size: 1.1rem; border-left: 4px solid #0072b2; padding-left: .8rem; margin: .8rem 0 }
.note { color: #555; font-size: .9rem }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .5rem 1.5rem;
  align-items: start }
figure { margin: 0; max-width: 30rem; break-inside: avoid }
figure.first { max-width: 38rem }
@media (min-width: 46rem) { .figures > .scroll, .figures > .beside { grid-column: span 2 } }
figure img { width: 100%; height: auto; display: block }
figcaption { color: #555; font-size: .85rem }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem }
th, td { padding: .25rem .7rem .25rem 0; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #999; white-space: nowrap }
th.number, td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
tr.theirs td { color: #666 }
@media (max-width: 64rem) { th, th.number { white-space: normal } td:first-child { min-width: 5.4rem } }
@media (max-width: 40rem) {
  td.number { white-space: normal } table { font-size: .77rem }
  th, td { padding-right: .33rem } th:last-child, td:last-child { padding-right: 0 }
}
pre, code { font-family: ui-monospace, monospace; font-size: .85rem; background: #f4f4f4 }
pre { padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere }
@media print {
  body { font-size: 10pt; max-width: none; padding: 0 }
  h2, h3 { break-after: avoid }
  tr, figure { break-inside: avoid }
  .figures { display: flex; flex-wrap: wrap; gap: .3cm .5cm; align-items: flex-start }
  figure { flex: 0 1 8cm } figure.first { max-width: 12cm }
  .scroll { overflow: visible } table { font-size: 8pt } th, td { padding-right: .3rem }
  .screen { display: none }
}
"""


def page(title: str, body: str) -> str:
    """A whole document; `title` is plain text, `body` is markup."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # The page works without a network; this makes sure that nothing in it ever asks for one.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain `text`; `kind` is "answer", "note" or nothing."""
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """A heading of plain `text`."""
    return f"<h{level}>{html.escape(text)}</h{level}>"


def bullets(texts: Iterable[str], kind: str = "note") -> str:
    """A list of plain texts; nothing if there are none."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[int] = (0,), theirs: Collection[int] = ()
) -> str:
    """A table of plain texts; columns in `words` are words, the others numbers; rows in `theirs` are set in grey."""

    def cell(tag: str, column: int, text: str) -> str:
        kind = "" if column in words else ' class="number"'
        return f"<{tag}{kind}>{html.escape(text)}</{tag}>"

    head = "".join(cell("th", column, text) for column, text in enumerate(header))
    body = "\n".join(
        f"<tr{' class=theirs' if number in theirs else ''}>"
        + "".join(cell("td", column, text) for column, text in enumerate(row))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def figure(svg: bytes, caption: str, kind: str = "") -> str:
    """A drawing inside the page, with its caption, which also is what a screen reader says.

    As a picture of its own, because the names inside one drawing would clash with those of the next.
    """
    source = data_address("image/svg+xml", svg)
    told = html.escape(caption)
    return f'<figure class="{kind}"><img src="{source}" alt="{told}"><figcaption>{told}</figcaption></figure>'


def download(name: str, kind: str, content: bytes) -> str:
    """A link that saves `content`, held in the page itself, as the file `name`."""
    return f'<a download="{html.escape(name)}" href="{data_address(kind, content)}">{html.escape(name)}</a>'


def preformatted(text: str) -> str:
    """Commands and files, kept as they are."""
    return f"<pre>{html.escape(text)}</pre>"


def data_address(kind: str, content: bytes) -> str:
    """`content` as an address that holds it; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
