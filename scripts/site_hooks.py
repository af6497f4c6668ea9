"""What turns docs/ into a site (mkdocs calls these hooks): files of the repository, equations.

The pages are written for a code host. There a link may lead out of docs/ or to a folder, and
equations stand between dollars; here the files are copied along, the folder of schemas gets a list,
and equations become drawings, which look the same in every browser, without a script or a font.
"""

from __future__ import annotations

import html
import json
import logging
import re
from pathlib import Path
from xml.etree import ElementTree

import ziamath
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)\)")
FOLDER = re.compile(r"\]\(([\w/]+)/\)")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
TAG = re.compile(r"\\tag\{(.*?)\}")
LIMIT = re.compile(r"(\\(?:min|max))_")
"""TeX sets these indices below the word where an equation stands alone."""
EM = 16.0

# One line per module of the API would bury what matters.
logging.getLogger("mkdocs.plugins.api-autonav").setLevel(logging.WARNING)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the list of schemas, and the files outside of docs/ that a page links to."""
    schemas = sorted((ROOT / "docs" / "schemas").glob("*.json"))
    listed = [f"- [{path.name}]({path.name}): {_title(path)}" for path in schemas]
    page = "\n".join(["# Schemas", "", "JSON schemas of all documents.", "", *listed, ""])
    files.append(File.generated(config, "schemas/index.md", content=page))
    for path in sorted((ROOT / "docs").glob("*.md")):
        for name in OUTSIDE.findall(path.read_text(encoding="utf-8")):
            # mkdocs itself complains of links to what is not there.
            if (ROOT / name).is_file() and not files.get_file_from_path(name):
                files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def _title(schema: Path) -> str:
    said = json.loads(schema.read_text(encoding="utf-8"))
    return str(said.get("description", said.get("title", ""))).split("\n\n")[0].replace("\n", " ")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of docs/ to the copies, and links to a folder to its list."""
    return FOLDER.sub(r"](\1/index.md)", OUTSIDE.sub(r"](\1)", markdown))


def on_page_content(html_text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the equations, each glyph's outline once per page."""
    glyphs: set[str] = set()
    return EQUATION.sub(
        lambda found: _equation(found[1], html.unescape(found[2]), glyphs), html_text
    )


def _equation(element: str, latex: str, glyphs: set[str]) -> str:
    inline = element == "span"
    tag = TAG.search(latex)
    latex = TAG.sub("", latex)
    if not inline:
        latex = LIMIT.sub(r"\1\\limits_", latex)
    svg = ziamath.Latex(latex, size=EM, color="currentColor", inline=inline).svgxml()
    for symbol in svg.findall("symbol"):
        if symbol.get("id") in glyphs:
            svg.remove(symbol)
        glyphs.add(symbol.get("id", ""))
    svg.set("role", "img")
    svg.set("aria-label", latex)
    # In the size of the text around it, on its baseline.
    _, top, width, height = map(float, svg.get("viewBox", "").split())
    lengths = {"width": width, "height": height, "vertical-align": -(top + height)}
    svg.set("style", ";".join(f"{name}:{px / EM:.3f}em" for name, px in lengths.items()))
    number = f'<span class="number">({tag[1]})</span>' if tag else ""
    text = ElementTree.tostring(svg, encoding="unicode")
    return f'<{element} class="equation">{text}{number}</{element}>'
