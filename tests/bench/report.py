"""What was measured, kept and shown: results.json, results.txt, the table of README.md, the pictures."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import time

import charts
import demands
from scenarios import Row

OWN = "sendoff"
FLOORS = [("lmdb_1", "bare LMDB commit, one message each"), ("lmdb_8", "bare LMDB, groups of 8"),
          ("lmdb_64", "bare LMDB, groups of 64")]
SINKS = {"drain": "bare sink", "sink": "`sendoff sink`", "smtp-sink": "smtp-sink"}
FLOORS += [(f"load_{key}_{clients}", f"load generator against {name}, {clients} connection{'s' if clients > 1 else ''}")
           for key, name in SINKS.items() for clients in (1, 10, 100)]
FLOORS.append(("smtp-source_drain_100", "smtp-source against bare sink, 100 connections"))


def machine():
    model = ""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip() + ", "
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} processors ({model}{platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"


def commit():
    done = subprocess.run(["git", "-c", "safe.directory=*", "describe", "--always", "--dirty"], capture_output=True, text=True,
                          cwd=pathlib.Path(__file__).parent)
    return done.stdout.strip()


class Results:
    def __init__(self, kinds, absent, area, rounds, is_quick):
        self.peers = [k.name for k in kinds]
        self.notes = {k.name: k.note for k in kinds if k.note}
        self.absent, self.disk, self.is_fair = absent, area.words, area.is_fair
        self.rounds, self.is_quick = rounds, is_quick
        self.date, self.machine, self.commit = time.strftime("%Y-%m-%d %H:%M"), machine(), commit()
        self.load = os.getloadavg()[0]
        self.floors, self.figures, self.rows, self.failed = {}, {}, [], {}
        self.seconds = 0

    def add(self, scenario, kind, figures, why):
        for row in scenario.rows:
            if row not in self.rows:
                self.rows.append(row)
        for key, value in figures.items():
            self.figures.setdefault(key, {}).setdefault(kind.name, []).append(value)
        if why:
            self.failed[f"{scenario.name}, {kind.name}"] = why

    def has_failed(self, scenario, kind):
        """It is not tried round after round."""
        return f"{scenario.name}, {kind.name}" in self.failed

    def save(self, folder):
        kept = {key: value for key, value in vars(self).items() if key != "rows"}
        kept["rows"] = [vars(row) for row in self.rows]
        (folder / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
        (folder / "results.txt").write_text(text(self) + "\n")
        charts.draw_all(self, folder)

    @classmethod
    def load(cls, folder):
        results = cls.__new__(cls)
        vars(results).update(json.loads((folder / "results.json").read_text()))
        results.rows = [Row(**row) for row in results.rows]
        return results

    def median(self, key, peer):
        values = self.figures.get(key, {}).get(peer)
        return statistics.median(values) if values else None


# ---------------------------------------------------------------- one figure

def show(row, value):
    return f"{value:,.{row.digits}f}" if value is not None else "-"


def show_spread(row, values):
    if not values:
        return "-"
    middle = show(row, statistics.median(values))
    if len(values) < 2:
        return middle
    return f"{middle} ({show(row, min(values))}-{show(row, max(values))})"


def ratio(results, key, peer):
    own, other = results.median(key, OWN), results.median(key, peer)
    return own / other if own is not None and other else None


def judge(results, row):
    """What is asked of this figure, and whether it is so: ("5 x exim", "7.2 x", True or False or None)."""
    for demand in demands.ALL:
        if demand.key != row.key:
            continue
        word = "at least" if row.more_is_better else "at most"
        value = ratio(results, row.key, demand.peer) if demand.peer else results.median(row.key, OWN)
        asked = f"{word} {demand.bound:g} x {demand.peer}" if demand.peer else f"{word} {demand.bound:g}{row.unit}"
        if value is None:
            return asked, "", None
        met = value >= demand.bound if row.more_is_better else value <= demand.bound
        found = f"{value:.2f} x" if demand.peer else ""
        further = demand.also(results.median(row.key, OWN), results.floors) if demand.also else None
        if further:
            found, met = f"{found}; {further[0]}", met and further[1]
        return asked, found, met
    return "", "", None


def verdict(met):
    return {True: "yes", False: "NO", None: ""}[met]


# ---------------------------------------------------------------- the table on stdout

def heading(results):
    yield (f"{results.machine}, {results.date}, commit {results.commit}, "
           f"{results.rounds} round{'s' if results.rounds > 1 else ''}{', quick' if results.is_quick else ''}, "
           f"{results.seconds / 60:.1f} minutes, load {results.load:.1f} at the start")
    yield f"file system: {results.disk}"
    if not results.is_fair:
        yield "THE COMPARISON IS UNFAIR: this file system is not known to have a journal."


def footnotes(results):
    for peer, note in results.notes.items():
        yield f"{peer} {note}."
    for peer, why in results.absent.items():
        yield f"{peer} is not measured: {why}."
    for what, why in results.failed.items():
        yield f"no figure: {what}: {why}"
    for key, found in results.figures.items():
        if key.endswith("_why"):
            for values in found.values():
                yield f"no further figures: {key[:-4]}: {values[-1]}"


def text(results):
    lines = [*heading(results), ""]
    width = max([len(row.title) for row in results.rows] + [40]) + 2
    spread = 24 if results.rounds > 1 else 12
    lines.append(f"{'medians (least-most)' if results.rounds > 1 else '':{width}}"
                 + "".join(f"{name:>{spread}}" for name in results.peers) + "   asked, found")
    for row in results.rows:
        found = [show_spread(row, results.figures.get(row.key, {}).get(name, [])) for name in results.peers]
        if all(cell == "-" for cell in found):
            continue
        asked, value, met = judge(results, row)
        tail = f"   {verdict(met) or '?':3} {asked}{' - ' + value if value else ''}" if asked else ""
        lines.append((f"{(row.title + (' [' + row.unit.strip() + ']' if row.unit.strip() else '')):{width}}"
                      + "".join(f"{f:>{spread}}" for f in found) + tail).rstrip())
    if results.floors:
        lines += ["", "floors and proof: messages of 1 KB a second"]
        lines += [f"{title.replace('`', ''):{width}}{results.floors[key]:>{spread},.0f}"
                  for key, title in FLOORS if key in results.floors]
    lines += ["", *footnotes(results)]
    return "\n".join(lines).rstrip()


# ---------------------------------------------------------------- the table of README.md

def markdown(results):
    """Exactly what stands between the marks in README.md."""
    rounds = f"medians of {results.rounds} rounds (memory, link and deep queue: one)" if results.rounds > 1 else "one round"
    lines = [f"{results.machine}; load {results.load:.1f} when it began; {results.date}, commit {results.commit}; "
             f"{results.disk}; {rounds}; 1 KB unless said.", "",
             "| | " + " | ".join(results.peers) + " | asked | met |", "|---|" + "---:|" * len(results.peers) + "---|---|"]
    for row in results.rows:
        cells = [show(row, results.median(row.key, name)) for name in results.peers]
        if all(cell == "-" for cell in cells):
            continue
        asked, found, met = judge(results, row)
        title = row.title + (f" ({row.unit.strip()})" if row.unit.strip() else "")
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {asked}{': ' + found if found else ''} | {verdict(met)} |")
    if results.floors:
        lines += ["", "Floors: " + "; ".join(f"{title} {results.floors[key]:,.0f}/s" for key, title in FLOORS
                                             if key in results.floors) + "."]
    lines += ["", *footnotes(results)]
    return "\n".join(lines).rstrip()


START, END = "<!-- tests/bench/run.py --markdown -->\n", "<!-- end -->\n"


def put_into(file, table):
    """Replaces what stands between the marks."""
    before, rest = file.read_text().split(START, 1)
    file.write_text(before + START + table + "\n" + END + rest.split(END, 1)[1])
