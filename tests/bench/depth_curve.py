"""Cost per message of the queue itself, from empty to a million: queue_depth's table, and a picture of it.

    tests/bench/queue_depth DIRECTORY >depth.csv; tests/bench/depth_curve.py depth.csv queue-depth.svg

The benchmark runs it, too (scenario "curve").
"""

import csv
import pathlib
import subprocess
import sys

import charts

EMPTY = 100  # where the empty queue stands on the logarithmic axis
MEASURES = [("cpu_us", "processor time a message, µs"), ("bytes_written", "bytes written a message")]


def run(folder, program, quick):
    """CSV as text."""
    depths = "0,1000,10000" if quick else "0,1000,10000,100000,300000,1000000"
    argv = [program, "--depths", depths, "--groups", "64", "--messages", "2000", folder]
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True, timeout=1200).stdout


def series(text, measure):
    found = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        if row["what"] in ("accept", "settle", "remove") and row["group"] == "64":
            found.setdefault(row["what"], []).append((max(int(row["depth"]), EMPTY), float(row[measure])))
    return found


def draw(text, file):
    """Two files: FILE for the processor, and one beside it for the bytes."""
    for measure, words in MEASURES:
        name = file if measure == MEASURES[0][0] else file.with_name(f"{file.stem}-{measure.split('_')[0]}.svg")
        charts.draw_lines(series(text, measure), name, "The queue alone, groups of 64: " + words,
                          f"messages in the queue ({EMPTY}: none)", words.split(",")[-1])


if __name__ == "__main__":
    draw(pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2]))
