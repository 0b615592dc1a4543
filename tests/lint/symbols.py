#!/usr/bin/env python3
"""Every global symbol of foo.c starts with foo_ (or is foo); main is excepted: tests/lint/symbols.py BUILD.

A module split into foo.c and foo_bar.c may use foo_ in both where foo.h stands beside them. In queue/ the prefix
queue_ is everyone's, as queue.h is the whole interface of that folder. No name is there twice: rooms are archives, and
the linker would silently take the first.
"""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = {"agent/main/main.c", "agent/helper/main.c", "tools/sendoff.c", "tools/sendmail.c"}


def prefixes(source):
    folder, name = os.path.split(source)
    stem = name[:-2]
    allowed = [stem]
    while "_" in stem:
        stem = stem.rsplit("_", 1)[0]
        if os.path.exists(os.path.join(ROOT, folder, stem + ".h")):
            allowed.append(stem)
    if folder == "queue":
        allowed.append("queue")
    return allowed


def globals_of(path):
    """Names of what the object defines for others, without what compilers add (leading underscores)."""
    out = subprocess.run(["nm", "-g", "--defined-only", "-P", path], capture_output=True, text=True, check=True)
    for line in out.stdout.splitlines():
        name, kind = line.split()[:2]
        if kind.upper() in "TDBRCVWGS" and not name.startswith(("_", ".")):
            yield name


def main():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        print("usage: tests/lint/symbols.py BUILD (a folder where everything was built)", file=sys.stderr)
        return 64
    build, count, offences, owners = sys.argv[1], 0, 0, {}
    for top in ("queue", "agent", "tools"):
        for folder, _, names in os.walk(os.path.join(build, top)):
            for name in sorted(n for n in names if n.endswith(".o")):
                source = os.path.relpath(os.path.join(folder, name[:-2] + ".c"), build)
                if not os.path.exists(os.path.join(ROOT, source)):
                    continue  # left over from a source that was removed
                count += 1
                allowed = prefixes(source)
                for symbol in globals_of(os.path.join(folder, name)):
                    if symbol == "main" and source in PROGRAMS:
                        continue
                    if owners.setdefault(symbol, source) != source:
                        print(f"{source}: {symbol}: also defined in {owners[symbol]}")
                        offences += 1
                    if not any(symbol == p or symbol.startswith(p + "_") for p in allowed):
                        print(f"{source}: {symbol}: a global symbol here starts with {allowed[0]}_")
                        offences += 1
    print(f"symbols: {count} objects, {offences} offences")
    return 1 if offences or not count else 0


if __name__ == "__main__":
    sys.exit(main())
