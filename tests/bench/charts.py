"""Pictures as SVG, written by hand: bars for each figure, and the line of a cost over the depth of the queue."""

import math
import statistics
from xml.sax.saxutils import escape

COLOURS = {"sendoff": "#0b6e4f", "postfix": "#5b7db1", "opensmtpd": "#b0a160", "exim": "#8f6bb0", "dma": "#b0756b",
           "nullmailer": "#888888"}
FONT = 'font-family="sans-serif" font-size="12"'


class Picture:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def text(self, x, y, words, anchor="start", more=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {more}>{escape(words)}</text>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def line(self, points, colour, width=2):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def save(self, file):
        file.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
                        f'viewBox="0 0 {self.width} {self.height}">\n<rect width="100%" height="100%" fill="white"/>\n'
                        + "\n".join(self.parts) + "\n</svg>\n")


def draw_bars(results, rows, file, title):
    """A group of bars for each row; each row has its own scale, whose end is its largest figure."""
    rows = [row for row in rows if results.figures.get(row.key)]
    if not rows:
        return
    bar, left, width = 14, 110, 900
    height = 50 + sum(30 + bar * len(results.figures[row.key]) for row in rows)
    picture = Picture(width, height)
    picture.text(10, 22, title, more='font-weight="bold"')
    y = 42
    for row in rows:
        found = {peer: statistics.median(values) for peer, values in results.figures[row.key].items()}
        longest = max(found.values()) or 1
        direction = "" if row.more_is_better else " - less is better"
        picture.text(10, y + 10, f"{row.title}{' [' + row.unit.strip() + ']' if row.unit.strip() else ''}{direction}")
        y += 16
        for peer, value in found.items():
            length = (width - left - 110) * value / longest
            picture.text(left - 6, y + 11, peer, "end")
            picture.box(left, y + 1, max(length, 1), bar - 3, COLOURS.get(peer, "#444444"))
            picture.text(left + length + 6, y + 11, f"{value:,.{row.digits}f}")
            y += bar
        y += 14
    picture.save(file)


def draw_lines(series, file, title, x_words, y_words):
    """name: [(x, y), ...] with a logarithmic x, from 0 on y."""
    series = {name: [(x, y) for x, y in points if x > 0] for name, points in series.items()}
    points = [point for line in series.values() for point in line]
    if not points:
        return
    picture = Picture(900, 460)
    left, right, top, bottom = 80, 700, 50, 400
    low, high = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    most = max(y for _, y in points) * 1.15 or 1

    def place(x, y):
        return (left + (right - left) * (math.log10(x) - low) / ((high - low) or 1), bottom - (bottom - top) * y / most)

    picture.text(10, 22, title, more='font-weight="bold"')
    picture.text((left + right) / 2, bottom + 42, x_words, "middle")
    picture.text(left, top - 10, y_words)
    for step in range(6):
        y = most * step / 5
        picture.line([(left, place(10**low, y)[1]), (right, place(10**low, y)[1])], "#dddddd", 1)
        picture.text(left - 6, place(10**low, y)[1] + 4, f"{y:,.3g}", "end")
    for exponent in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1):
        picture.text(place(10**exponent, 0)[0], bottom + 20, f"{10**exponent:,}", "middle")
    shades = list(COLOURS.values()) + ["#d1495b", "#00798c", "#edae49", "#30638e", "#003d5b"]
    for number, (name, line) in enumerate(series.items()):
        colour = shades[number % len(shades)]
        picture.line([place(x, y) for x, y in sorted(line)], colour)
        picture.box(right + 20, top + 20 * number, 12, 12, colour)
        picture.text(right + 38, top + 11 + 20 * number, name)
    picture.save(file)


def draw_depth(results, folder):
    """Cost of accepting one message on the way from the empty queue to the deepest one that was filled."""
    series = {}
    for key, found in results.figures.items():
        if not key.endswith("_curve"):
            continue
        for peer, values in found.items():
            curve = values[-1]
            costs = [(curve[i][0], 1e6 * (curve[i][1] - curve[i - 1][1]) / (curve[i][0] - curve[i - 1][0]))
                     for i in range(1, len(curve))]
            if peer not in series or costs and costs[-1][0] > series[peer][-1][0]:
                series[peer] = costs
    draw_lines({name: line for name, line in series.items() if line}, folder / "depth.svg",
               "Cost of accepting one message, 100 clients, smart host down", "messages in the queue", "µs")


def draw_all(results, folder):
    rates = [row for row in results.rows if row.more_is_better and not row.key.startswith("deep")]
    costs = [row for row in results.rows if not row.more_is_better and not row.key.startswith("deep")]
    draw_bars(results, rates, folder / "rates.svg", "Messages a second")
    draw_bars(results, costs, folder / "costs.svg", "Times, memory, disk")
    draw_bars(results, [row for row in results.rows if row.key.startswith("deep")], folder / "deep.svg", "The deep queue")
    draw_depth(results, folder)
