"""A comparison as one HTML file with all in it: no script, no other file, no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.source, figcaption, .note { color: #666; font-size: .9rem; overflow-wrap: anywhere }
.verdict { font-size: 1.1rem; border-left: 4px solid #f2c14e; padding: .4rem .8rem;
           background: #fdf8e8 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e5e5e5;
         white-space: nowrap; font-variant-numeric: tabular-nums }
th { background: #f6f6f6; position: sticky; top: 0 } tr.front { background: #fdf8e8 }
tr:hover { background: #f0f4fa } figure { margin: 1rem 0 } img { max-width: 100% }
"""


def page(
    title: str,
    source: str,
    verdict: str,
    rows: Sequence[Mapping[str, str]],
    pictures: Mapping[str, Path],
    notes: Sequence[str],
) -> str:
    """Write the page.

    Args:
        title: Its heading.
        source: Where the runs were read.
        verdict: The answer in a sentence.
        rows: The ranking as text; a rank that ends in `*` stands on the Pareto front.
        pictures: PNG files by heading.
        notes: What else is to be known.
    """
    figures = "\n".join(_figure(heading, png) for heading, png in pictures.items())
    remarks = "\n".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="source">{escape(source)}</p>
<p class="verdict">{escape(verdict)}</p>
<h2>Ranking</h2>
<div class="wide">{_table(rows)}</div>
<p class="note">* and a coloured row: on the Pareto front, no other group has both more zeros and
a higher validation accuracy. Lost: points of validation accuracy below the dense baseline.
&plusmn;: standard deviation over seeds.</p>
{figures}
{remarks}
</body>
</html>
"""


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    return f"<table><tr>{head}</tr>{''.join(_row(row, columns) for row in rows)}</table>"


def _row(row: Mapping[str, str], columns: Sequence[str]) -> str:
    mark = ' class="front"' if row["rank"].endswith("*") else ""
    cells = "".join(f"<td>{escape(row.get(name, ''))}</td>" for name in columns)
    return f"<tr{mark}>{cells}</tr>"


def _figure(heading: str, png: Path) -> str:
    data = base64.b64encode(png.read_bytes()).decode("ascii")
    source = f"data:image/png;base64,{data}"
    return (
        f'<h2>{escape(heading)}</h2><figure><img src="{source}" alt="{escape(heading)}"></figure>'
    )
