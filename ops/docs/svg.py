"""A few shapes of SVG, with a background of their own: the pictures are read in light and dark themes."""

from html import escape

FONT = "font-family='system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif'"
INK, MUTED, LINE = "#1d2433", "#5b6578", "#8a94a6"
BLUE, GREEN, AMBER, RED, GREY = "#dbe7fb", "#d9f0e1", "#fdeecb", "#fbdcd9", "#eef1f5"


class Drawing:
    """Collects shapes; positions and sizes are in pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._title = title
        self._shapes: list[str] = []

    def box(  # noqa: PLR0913 - what a box needs
        self, x: float, y: float, width: float, height: float, fill: str, *, dashed: bool = False
    ) -> None:
        dash = " stroke-dasharray='5 4'" if dashed else ""
        self._shapes.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='7' fill='{fill}' "
            f"stroke='{LINE}'{dash}/>"
        )

    def text(  # noqa: PLR0913 - what a text needs
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 13,
        color: str = INK,
        bold: bool = False,
        middle: bool = False,
    ) -> None:
        weight, anchor = ("600" if bold else "400"), ("middle" if middle else "start")
        self._shapes.append(
            f"<text x='{x}' y='{y}' font-size='{size}' fill='{color}' font-weight='{weight}' "
            f"text-anchor='{anchor}'>{escape(text)}</text>"
        )

    def labelled(  # noqa: PLR0913, PLR0917 - a box and its text
        self, x: float, y: float, width: float, height: float, fill: str, title: str, *lines: str
    ) -> None:
        """Draw a box with a title and lines below it, centred."""
        self.box(x, y, width, height, fill)
        top = y + height / 2 - 8 * len(lines) + 5
        self.text(x + width / 2, top, title, bold=True, middle=True)
        for number, line in enumerate(lines, 1):
            self.text(x + width / 2, top + 17 * number, line, size=12, color=MUTED, middle=True)

    def arrow(self, *points: tuple[float, float], dashed: bool = False, heavy: bool = False) -> None:
        dash, width = (" stroke-dasharray='5 4'" if dashed else ""), (2.5 if heavy else 1.4)
        path = " ".join(f"{x},{y}" for x, y in points)
        self._shapes.append(
            f"<polyline points='{path}' fill='none' stroke='{INK}' stroke-width='{width}'{dash} "
            "marker-end='url(#arrow)'/>"
        )

    def __str__(self) -> str:
        width, height = self._size
        shapes = "\n".join(self._shapes)
        return f"""\
<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' height='{height}'
 role='img' {FONT}>
<title>{escape(self._title)}</title>
<defs><marker id='arrow' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='8' markerHeight='8'
 markerUnits='userSpaceOnUse' orient='auto'><path d='M0 0 10 5 0 10z' fill='{INK}'/></marker></defs>
<rect width='{width}' height='{height}' rx='10' fill='#ffffff'/>
{shapes}
</svg>
"""
