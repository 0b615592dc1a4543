#!/usr/bin/env python3
"""Who may include whom: prints `file:line: what is wrong` for every offence, fails if there is any.

Three rules, each a table below: a room includes only the rooms under it; an outside library has one home; engines
and the ground floor are pure (no clock, no socket, no random source: time and bytes come in as arguments).
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CORE = {"core", "message", "smtp", "net", "queue", "base"}
MAY_INCLUDE = {
    "queue": {"queue"},
    "base": {"base"},
    "smtp": {"smtp", "base"},
    "message": {"message", "smtp", "base"},
    "net": {"net", "base"},
    "helper": {"helper", "net", "base"},
    "core": CORE,
    "submission": CORE | {"submission", "helper"},
    "delivery": CORE | {"delivery", "helper"},
    "control": CORE | {"control", "helper"},
    "main": CORE | {"main", "submission", "delivery", "control", "helper"},
    "tools": CORE | {"tools", "control", "helper"},
    "anything": CORE | {"submission", "delivery", "control", "helper", "tools", "tests"},
}

# Header: the files that may include it. Tests may include any library.
HOMES = {
    r"lmdb\.h": [r"queue/store\.c"],
    r"pthread\.h": [r"queue/writer\.c"],
    r"gnutls/.*": [r"agent/net/tls(_\w+)?\.[ch]", r"agent/base/crypto\.c"],
    r"ares.*\.h": [r"agent/net/dns(_\w+)?\.c"],
    r"confuse\.h": [r"agent/config(_\w+)?\.[ch]"],
    r"ev\.h": [r"agent/net/loop\.[ch]"],
    r"gsasl\.h": [r"agent/smtp/sasl(_\w+)?\.c"],
    # TLS reports are JSON by their RFC, as other reports are header fields: their engine writes it.
    r"jansson\.h": [r"agent/control/\w+\.[ch]", r"tools/\w+\.[ch]", r"agent/message/tlsreport\.c"],
    r"curl/.*|dlfcn\.h": [r"agent/helper/fetch_work\.c"],
    r"seccomp\.h|linux/(landlock|seccomp|filter|audit)\.h": [r"agent/sandbox(_\w+)?\.[ch]"],
    r"idn2\.h": [r"agent/smtp/address\.c"],
    r"crypt\.h": [r"agent/helper/check\.c"],
    r"n?curses.*|term\.h": [r"tools/\w+\.[ch]"],
    r"syslog\.h|systemd/.*": [r"agent/log(_\w+)?\.c"],
}
PLAIN = re.compile(  # the C library, the compiler and the kernel
    r"(assert|complex|ctype|dirent|errno|fcntl|fenv|float|fnmatch|getopt|glob|grp|ifaddrs|inttypes|langinfo|libgen|limits|"
    r"locale|malloc|math|mntent|netdb|poll|pwd|regex|resolv|sched|search|setjmp|shadow|signal|spawn|stdalign|stdarg|"
    r"stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|sysexits|termios|time|ucontext|unistd|utime|wchar|"
    r"wctype|utmp|endian|byteswap|error|err)\.h|(sys|net|netinet|arpa|linux|asm|bits)/\w+(/\w+)*\.h|"
    r"(sanitizer|valgrind)/\w+\.h|valgrind\.h"
)

PURE_ROOMS = {"smtp", "message"}
IMPURE = re.compile(
    r"(?<![\w.>])(clock_boot_ms|clock_wall_ms|clock_gettime|gettimeofday|time|socket|connect|accept|send|sendto|recv|"
    r"recvfrom|open|fopen|read|write|poll|getrandom|crypto_random(?:_below)?|rand|random|getenv|syslog|printf|"
    r"fprintf|perror|fork|system|popen|execv\w*|usleep|sleep|nanosleep)\s*\("
)


def tracked():
    out = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
        cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(f for f in out.stdout.split() if os.path.exists(os.path.join(ROOT, f)))


def room_of(path):
    """The room of a file, or for a test the room whose view of the house it has."""
    part = path.split("/")
    if part[0] == "agent":
        return part[1] if len(part) > 2 else "core"
    if part[0] == "tests":
        if part[1] == "unit" and len(part) == 3:
            return part[2].split("_")[0]
        if part[1] == "fuzz" and part[2].startswith("fuzz_"):
            return part[2].split("_")[1]
        return "anything"
    return part[0]


def resolve(path, name):
    """The tracked file that `#include "name"` in `path` means under -Iagent -I. ; None: there is none."""
    for candidate in (os.path.join(os.path.dirname(path), name), "agent/" + name, name):
        candidate = os.path.normpath(candidate)
        if os.path.exists(os.path.join(ROOT, candidate)):
            return candidate
    return None


def strip_comments(text):
    """Comments and string contents become blanks; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_quoted(path, name, say):
    room = room_of(path)
    if ".." in name.split("/"):
        say(f'"{name}": includes are written from agent/ or the root, never with ..')
        return
    target = resolve(path, name)
    if target is None:
        say(f'"{name}": no such file')
        return
    if target.startswith("tests/"):
        if not path.startswith("tests/"):
            say(f'"{name}": nothing outside tests/ may use them')
        return
    target_room = room_of(target)
    allowed = MAY_INCLUDE.get(room)
    if allowed is None:
        say(f"'{room}' is not a room: the first word of a test's name says which room it tests")
    elif target_room not in allowed:
        say(f'"{name}": {room} must not know {target_room}')


def check_system(path, name, say):
    if path.startswith("tests/"):
        return
    for header, homes in HOMES.items():
        if re.fullmatch(header, name):
            if not any(re.fullmatch(home, path) for home in homes):
                say(f"<{name}>: its only home is {', '.join(h.replace(chr(92), '') for h in homes)}")
            elif path.startswith("queue/") and header not in (r"lmdb\.h", r"pthread\.h"):
                say(f"<{name}>: the queue knows the C library and LMDB only")
            return
    if not PLAIN.fullmatch(name):
        say(f"<{name}>: an outside library without a home; give it one in tests/lint/layers.py")


def check(path, report):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = f.read()
    for number, line in enumerate(text.split("\n"), 1):
        def say(what, number=number):
            report(f"{path}:{number}: {what}")
        found = re.match(r'\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>)', line)
        if found and found.group(1) is not None:
            check_quoted(path, found.group(1), say)
        elif found:
            check_system(path, found.group(2), say)
    if path.startswith("agent/") and room_of(path) in PURE_ROOMS:
        for number, line in enumerate(strip_comments(text).split("\n"), 1):
            for found in IMPURE.finditer(line):
                report(f"{path}:{number}: {found.group(1)}(): an engine has no clock, socket, file or random source")


def main():
    offences = []
    files = tracked()
    for path in files:
        check(path, offences.append)
    for line in offences:
        print(line)
    print(f"layers: {len(files)} files, {len(offences)} offences")
    return 1 if offences or not files else 0


if __name__ == "__main__":
    sys.exit(main())
