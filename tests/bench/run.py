"""The benchmark: Sendoff and its peers side by side, on one machine, in one run.

    make bench                  everything, three rounds, medians: twenty to thirty minutes
    make bench QUICK=1          in under three minutes: fewer peers, one round, a small deep queue
    tests/bench/run.py --only relay --peers sendoff,postfix --rounds 5
    tests/bench/run.py --markdown    the table of the last run, as README.md has it

Scenarios run in turn, mailer by mailer, round by round (A B A B), so that a machine whose speed drifts favours nobody.
Everything is on loopback, with durable settings, each mailer in a scratch root of its own, its queue on a journaled file
system (disk.py). Nothing stays behind. Results: build/bench/results.txt, results.json and pictures.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "bench"), str(ROOT / "tests" / "e2e")]


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="where the programs are")
    p.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "bench", help="where results go")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", default="", help="scenarios with one of these, comma-separated, in their name: accept, relay_10")
    p.add_argument("--peers", default="", help="only these mailers, comma-separated")
    p.add_argument("--rounds", type=int)
    p.add_argument("--seconds", type=float, help="how long a scenario loads a mailer")
    p.add_argument("--depth", type=int, help="of the deep queue, instead of the usual ones")
    p.add_argument("--own-disk", action="store_true", help="on the file system of --out, journaled or not")
    p.add_argument("--markdown", nargs="?", const="-", metavar="FILE",
                   help="measure nothing: print the table of the last run, or put it between its marks in FILE (README.md)")
    return p.parse_args()


ARGS = parse_args()
os.environ["BUILD"] = str(ARGS.build.resolve())
import deep  # noqa: E402
import depth_curve  # noqa: E402
import disk  # noqa: E402
import floors  # noqa: E402
import link_trips  # noqa: E402
import peers  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402
import scenarios  # noqa: E402

GIB = 1 << 30
QUICK_PEERS = ("sendoff", "postfix")


def say(text):
    print(text, file=sys.stderr, flush=True)


def choose_peers():
    """Those that can be measured here; the others with the reason why not."""
    wanted = ARGS.peers.split(",") if ARGS.peers else QUICK_PEERS if ARGS.quick else [k.name for k in peers.ALL]
    kinds, absent = [], {}
    for kind in peers.ALL:
        if kind.name not in wanted:
            continue
        why = kind.missing()
        if why:
            absent[kind.name] = why
            say(f"{kind.name} is not measured: {why}")
        else:
            kinds.append(kind)
    return kinds, absent


def is_chosen(name, rows=()):
    wanted = [part.strip() for part in ARGS.only.split(",") if part.strip()]
    return not wanted or any(part in text for part in wanted for text in [name, *(row.key for row in rows)])


def measure(scenario, kind, area, seconds):
    """One run; figures, or why there are none."""
    place = disk.Place(area)
    try:
        return scenario.measure(kind, place, seconds), None
    except Exception as error:  # whatever it was: the figures of the others are wanted
        words = str(error).strip().split("\n")[-1][:200]
        return {}, words if isinstance(error, programs.Failed) else f"{type(error).__name__}: {words}"
    finally:
        for error in place.close():
            say(f"  {kind.name}: {error[-200:]}")


def run_rounds(results, chosen, kinds, area, rounds, seconds):
    begun = time.monotonic()
    for number in range(rounds):
        for scenario in chosen:
            if scenario.rounds is not None and number >= scenario.rounds:
                continue
            for kind in kinds:
                if not scenario.is_for(kind) or results.has_failed(scenario, kind):
                    continue
                begin = time.monotonic()
                figures, why = measure(scenario, kind, area, seconds)
                results.add(scenario, kind, figures, why)
                shown = ", ".join(f"{key} {value:,.4g}" for key, value in figures.items() if isinstance(value, (int, float)))
                say(f"round {number + 1}: {kind.name:10} {shown or scenario.name + ': no figure: ' + why} "
                    f"({time.monotonic() - begin:.1f} s)")
            # So that a run that is broken off has not been for nothing.
            results.seconds = time.monotonic() - begun
            results.save(ARGS.out)


def draw_curve(area):
    """The queue alone, from empty to deep."""
    place = disk.Place(area)
    try:
        table = depth_curve.run(place.disk, programs.TOOLS / "queue_depth", ARGS.quick)
        (ARGS.out / "queue-depth.csv").write_text(table)
        depth_curve.draw(table, ARGS.out / "queue-depth.svg")
    except (subprocess.SubprocessError, OSError) as error:
        say(f"no curve of the queue: {error}")
    finally:
        place.close()


def main():
    if ARGS.markdown:
        table = report.markdown(report.Results.load(ARGS.out))
        if ARGS.markdown == "-":
            print(table)
        else:
            report.put_into(pathlib.Path(ARGS.markdown), table)
        return 0
    disk.apart()
    ARGS.out.mkdir(parents=True, exist_ok=True)
    rounds = ARGS.rounds or (1 if ARGS.quick else 3)
    seconds = ARGS.seconds or (1 if ARGS.quick else 2)
    kinds, absent = choose_peers()
    area = disk.Disk(ARGS.out, (1.5 if ARGS.quick else 6) * GIB, own=ARGS.own_disk)
    try:
        say(f"file system: {area.words}")
        chosen = [s for s in [*scenarios.all_scenarios(ARGS.quick), link_trips.LinkTrips(ARGS),
                              *deep.all_scenarios(ARGS.quick, ARGS.depth)] if is_chosen(s.name, s.rows)]
        results = report.Results(kinds, absent, area, rounds, ARGS.quick)
        if is_chosen("floors"):
            results.floors = floors.measure(area, seconds, say)
        if is_chosen("curve") and not (ARGS.quick and not ARGS.only):
            draw_curve(area)
        run_rounds(results, chosen, kinds, area, rounds, seconds)
        print(report.text(results))
    finally:
        area.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
