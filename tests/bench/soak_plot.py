"""A soak's samples as a table (CSV) and as a picture: curves one below the other over the same time, with what was done
to the agent marked in all of them."""

import csv
import html

WIDTH, HEIGHT, LEFT, TOP, GAP = 1100, 110, 90, 40, 34
COLOURS = ["#1f5fa8", "#c1440e", "#2f7d32"]
MARKS = {"kill": "#c00000", "restart": "#d08000", "reload": "#8a8a8a", "clock": "#7a2fa0"}
OTHER = "#b9cfe4"
# title, unit, columns, factor
PANELS = [
    ("accepted and delivered", "messages/s", ["accepted_s", "delivered_s"], 1),
    ("messages in the queue", "", ["queued"], 1),
    ("the agent's own memory (RssAnon)", "MB", ["rss_anon_kib"], 1 / 1024),
    ("queue file, and pages in use", "MB", ["file_bytes", "used_bytes"], 1e-6),
    ("descriptors and threads", "", ["fds", "threads"], 1),
    ("time for one NOOP", "ms", ["noop_ms"], 1),
]


def write_csv(path, rows):
    with open(path, "w", newline="") as f:
        out = csv.DictWriter(f, list(rows[0]))
        out.writeheader()
        out.writerows(rows)


def thinned(points, most=1100):
    """At most so many points: of each run of neighbours the highest, so that no peak is hidden."""
    step = max(1, -(-len(points) // most))
    return [max(points[i:i + step], key=lambda p: p[1]) for i in range(0, len(points), step)]


def panel(rows, events, title, unit, columns, factor, top, end):
    curves = [[(r["t"], r[c] * factor) for r in rows if r[c] is not None] for c in columns]
    most = max((y for curve in curves for _, y in curve), default=0) or 1
    out = [f'<text x="{LEFT}" y="{top - 6}" font-weight="bold">{html.escape(title)}</text>',
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>',
           f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:,.4g} {html.escape(unit)}</text>',
           f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">0</text>']

    def x_of(t):
        return LEFT + WIDTH * min(t, end) / end

    for begin, over, kind, about in events:
        width = max(1.0, x_of(over) - x_of(begin))
        out.append(f'<rect x="{x_of(begin):.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" opacity="0.5" '
                   f'fill="{MARKS.get(kind, OTHER)}"><title>{html.escape(f"{kind} {about} at {begin:.0f} s")}</title></rect>')
    for number, (name, curve) in enumerate(zip(columns, curves)):
        line = " ".join(f"{x_of(t):.1f},{top + HEIGHT * (1 - y / most):.1f}" for t, y in thinned(curve))
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[number]}" stroke-width="1.2"/>')
        out.append(f'<text x="{LEFT + WIDTH - 130 * (len(columns) - 1 - number)}" y="{top - 6}" text-anchor="end" '
                   f'fill="{COLOURS[number]}">{name}</text>')
    return out


def write_svg(path, rows, events, title):
    end = max(r["t"] for r in rows) or 1
    height = TOP + len(PANELS) * (HEIGHT + GAP) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" font-family="sans-serif" '
           'font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="16" font-size="14">{html.escape(title)}</text>']
    for number, (name, unit, columns, factor) in enumerate(PANELS):
        out += panel(rows, events, name, unit, columns, factor, TOP + number * (HEIGHT + GAP), end)
    words = [("kill", MARKS["kill"]), ("restart", MARKS["restart"]), ("reload", MARKS["reload"]),
             ("clock", MARKS["clock"]), ("outage, flood, large messages, wrong password", OTHER)]
    for number, (name, colour) in enumerate(words):
        x = LEFT + number * 110
        out.append(f'<rect x="{x}" y="{height - 30}" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 18}" y="{height - 20}">{name}</text>')
    out.append(f'<text x="{LEFT + WIDTH}" y="{height - 20}" text-anchor="end">{end:,.0f} s</text></svg>')
    path.write_text("\n".join(out) + "\n")
