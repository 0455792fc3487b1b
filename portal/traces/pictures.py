"""A trace's drawing as SVG and as PNG."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

from django.conf import settings
from PIL import Image, ImageDraw, ImageFont

from sdn.trace.picture import GROUND, INK, Line, Picture

SCALE = 2  # pixels of a PNG for one of the drawing's
MOST_PIXELS_HIGH = 16_000
PLAIN = str.maketrans({"→": ">", "↔": "-", "−": "-", "…": "...", "┊": "|"})  # the Latin fonts of the pages lack them
FAMILIES = {
    True: "JetBrains Mono, ui-monospace, DejaVu Sans Mono, monospace",
    False: "Inter, system-ui, DejaVu Sans, sans-serif",
}
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def format_svg(picture: Picture) -> str:
    """A document of its own: it needs no style sheet, and names are text in it whatever they hold."""
    size = {"width": str(picture.width), "height": str(picture.height)}
    root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})
    ElementTree.SubElement(root, "title").text = _printable(picture.title)
    ElementTree.SubElement(root, "rect", {**size, "fill": GROUND})
    for box in picture.boxes:
        place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        edge = {"stroke": box.edge} if box.edge else {}
        ElementTree.SubElement(root, "rect", {**{name: str(value) for name, value in place.items()}, "fill": box.fill, **edge})  # fmt: skip
    for line in picture.lines:
        look = {
            "font-size": str(line.size),
            "font-family": FAMILIES[line.is_mono],
            "fill": line.ink,
            "xml:space": "preserve",
        }
        weight = {"font-weight": "600"} if line.is_bold else {}
        text = ElementTree.SubElement(root, "text", {"x": str(line.x), "y": str(line.y), **look, **weight})
        text.text = _printable(line.text)
    return ElementTree.tostring(root, encoding="unicode")


def format_png(picture: Picture) -> bytes:
    """The drawing at two pixels a point; a very long one at fewer."""
    scale = SCALE if picture.height * SCALE <= MOST_PIXELS_HIGH else 1
    height = min(picture.height * scale, MOST_PIXELS_HIGH)
    image = Image.new("RGB", (picture.width * scale, height), GROUND)
    pen = ImageDraw.Draw(image)
    for box in picture.boxes:
        corner = ((box.x + box.width) * scale - 1, (box.y + box.height) * scale - 1)
        pen.rectangle(((box.x * scale, box.y * scale), corner), fill=box.fill, outline=box.edge or None)
    for line in picture.lines:
        place = (line.x * scale, line.y * scale)
        pen.text(
            place,
            line.text.translate(PLAIN),
            fill=line.ink or INK,
            font=_font(_file(line), line.size * scale),
            anchor="ls",
        )
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _printable(text: str) -> str:
    """Without the control characters that XML has no way to write."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _file(line: Line) -> str:
    if line.is_mono:
        return "jetbrains-mono-latin-400-normal"
    return "inter-latin-600-normal" if line.is_bold else "inter-latin-400-normal"


@cache
def _font(name: str, size: int) -> Font:
    """The pages' own font, out of the front end's build; Pillow's own where that is not built."""
    for folder in (Path(settings.BASE_DIR) / "frontend" / "dist", Path(settings.STATIC_ROOT or "/nonexistent")):
        for file in sorted(folder.glob(f"**/{name}*.woff2")):
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)
