"""Line charts as SVG: points and lines over two axes, each line named at its end, legible on light and dark.

Knows nothing of what is drawn. Needs Python 3.10 and its standard library only.
"""

import math
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 168, 44, 48
# Told apart by the colour-blind too (Okabe and Ito 2008), and seen on white and on black.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#8a7fd6", "#999999"]
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 14px; font-weight: 600 }
.grid { stroke: #8c959f; stroke-opacity: .3 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
"""


@dataclass
class Line:
    """One line, its points, and how far each was measured to scatter; `dots` beside a line of their own."""

    name: str
    line: list
    dots: list = field(default_factory=list)
    ranges: list = field(default_factory=list)


@dataclass
class Axis:
    """What an axis says, its ends and its marks; `log`: each factor takes the same room."""

    label: str
    marks: list
    log: bool = False

    def place(self, value, low, high):
        """Where a value is between two ends of the picture."""
        scale = math.log if self.log else float
        first, last = scale(self.marks[0]), scale(self.marks[-1])
        return low + (high - low) * (scale(min(max(value, self.marks[0]), self.marks[-1])) - first) / (last - first)


def chart(title, x, y, lines):
    """The chart as text."""
    across = lambda value: x.place(value, LEFT, WIDTH - RIGHT)
    up = lambda value: y.place(value, HEIGHT - BOTTOM, TOP)
    said = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
        *frame(x, y, across, up),
    ]
    names = []
    for at, line in enumerate(lines):
        colour = COLOURS[at % len(COLOURS)]
        said += drawn(line, colour, across, up)
        end = (line.line or line.dots)[-1]
        names.append((up(end[1]), line.name, colour))
    said += [
        f'<text x="{WIDTH - RIGHT + 10}" y="{height + 4:.1f}" style="fill:{colour}">{escape(name)}</text>'
        for height, name, colour in apart(names)
    ]
    return "\n".join([*said, "</svg>", ""])


def frame(x, y, across, up):
    """The grid, its marks and what the axes say."""
    for mark in x.marks:
        at = across(mark)
        yield f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{mark:g}</text>'
    for mark in y.marks:
        at = up(mark)
        yield f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{mark:g}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>'
    yield f'<text x="{LEFT}" y="36">{escape(y.label)}</text>'


def drawn(line, colour, across, up):
    """One line with its dots and ranges."""
    if line.line:
        path = "L".join(f"{across(a):.1f} {up(b):.1f}" for a, b in line.line)
        yield f'<path class="line" stroke="{colour}" d="M{path}"/>'
    for a, low, high in line.ranges:
        yield f'<path stroke="{colour}" stroke-opacity=".5" d="M{across(a):.1f} {up(low):.1f}V{up(high):.1f}"/>'
    for a, b in line.dots:
        yield f'<circle cx="{across(a):.1f}" cy="{up(b):.1f}" r="3.5" fill="{colour}"/>'


def apart(names, least=15):
    """The same names, no two nearer to each other than a line of text."""
    placed, last = [], -math.inf
    for height, name, colour in sorted(names):
        last = max(height, last + least)
        placed.append((last, name, colour))
    over = max(0.0, last - (HEIGHT - BOTTOM))
    return [(height - over, name, colour) for height, name, colour in placed]
