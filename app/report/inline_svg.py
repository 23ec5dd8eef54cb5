"""A matplotlib figure as SVG inside a page: it takes the page's text colour and width, and keeps its ids."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from hea_loop.figures.campaign import INK, RANDOM, STRATEGY, TARGET

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inline_svg"]

_PAGE_COLOURS = {
    INK: "currentColor",
    STRATEGY: "var(--strategy)",
    RANDOM: "var(--random)",
    TARGET: "var(--target)",
}
"""Colours that the page's style sheet decides, for light and dark."""


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """Draw a figure as one ``<svg>`` element.

    Args:
        figure: The figure.
        name: Prefix of its ids, unique in the page.
        description: What it shows, for those who do not see it.

    Returns:
        The element, without an XML declaration; text stays text.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    # hashsalt and no date: the same figure gives the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # ids are unique within a figure only; in a page they would refer to each other's
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'\b(xlink:href|href)="#([^"]+)"', rf'\1="#{name}-\2"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    for colour, style in _PAGE_COLOURS.items():
        text = re.sub(re.escape(colour), style, text, flags=re.IGNORECASE)
    opening = re.match(r"<svg\b[^>]*>", text)
    assert opening is not None  # noqa: S101 - savefig has just written it
    box = re.search(r'viewBox="([^"]+)"', opening[0])
    assert box is not None  # noqa: S101 - likewise
    width = float(box[1].split()[2])
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box[1]}" '
        f'role="img" aria-label={quoteattr(description)} style="max-width:{width * 4 / 3:.0f}px">'
        f"<title>{escape(description)}</title>"
    )
    return head + text[opening.end() :]
