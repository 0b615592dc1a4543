"""Where the benchmark writes: a journaled file system, and a folder in memory for all that is not measured.

Queues of one file per message suffer on ext4 without a journal, so where the machine's own file system is not known to be
journaled, an ext4 with one is made in an image file behind a loop device (as root). The image is written full of zeros
first: whoever came first would otherwise pay for its blocks.

Everything happens in mount and process namespaces of the benchmark's own (`apart`): whatever way it ends, the mounts are
gone with it, the loop device is free again, and no server is left. The image has no name while it is in use.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

JOURNALED = ("btrfs", "xfs", "zfs", "f2fs", "jfs")
APART = "SENDOFF_BENCH_APART"
GIB = 1 << 30


def run(*argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=600, **more)
    if done.returncode != 0:
        raise OSError(f"{argv[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def apart():
    """Runs this program again in namespaces of its own, where that is allowed; returns only inside them."""
    if os.environ.get(APART) or os.geteuid() != 0:
        return
    inside = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*inside, "true"], capture_output=True, timeout=60).returncode != 0:
        return
    base = pathlib.Path(tempfile.mkdtemp(prefix="sendoff-bench-", dir="/tmp"))
    # The shell is their init: it collects what servers leave behind.
    child = subprocess.Popen([*inside, "sh", "-c", '"$@"; exit $?', "sh", sys.executable, *sys.argv],
                             env={**os.environ, APART: str(base)})
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    status = None
    while status is None:
        try:
            status = child.wait()
        except KeyboardInterrupt:  # the child has heard it, too
            pass
    shutil.rmtree(base, ignore_errors=True)
    sys.exit(status if status >= 0 else 128 - status)


def source_of(folder):
    """What the kernel has mounted there: ("/dev/vda", "ext4")."""
    return run("findmnt", "-n", "-o", "SOURCE,FSTYPE", "-T", folder).split()[:2]


def is_journaled(folder):
    source, kind = source_of(folder)
    name = pathlib.Path(source).resolve().name
    if kind in ("ext4", "ext3"):
        return any(p.name.startswith(name + "-") for p in pathlib.Path("/proc/fs/jbd2").glob("*"))
    return kind in JOURNALED


class Disk:
    """`measured` is on the file system that is measured, `aside` is not (in memory, where we may mount)."""

    def __init__(self, build, size, own=False):
        self.mounts = []
        self.base = pathlib.Path(os.environ.get(APART) or tempfile.mkdtemp(prefix="sendoff-bench-", dir="/tmp"))
        self.base.chmod(0o755)
        self.measured, self.aside = self.base / "disk", self.base / "aside"
        for folder in (self.measured, self.aside):
            folder.mkdir(exist_ok=True)
        self.is_fair, self.device, self.words = True, None, ""
        if os.environ.get(APART):
            self.mount("-t", "tmpfs", "-o", "mode=755", "bench", self.aside)
        try:
            if own or is_journaled(build) or not os.environ.get(APART):
                self.use_own(build)
            else:
                self.make_image(build, size)
        except BaseException:
            self.close()
            raise

    def mount(self, *argv):
        run("mount", *argv)
        self.mounts.append(argv[-1])

    def use_own(self, build):
        own = build / "bench-disk"
        own.mkdir(exist_ok=True)
        self.measured.rmdir()
        self.measured.symlink_to(own)
        source, kind = source_of(own)
        self.is_fair = is_journaled(own)
        self.device = self.counters_of(source)
        self.words = f"{kind}, the machine's own (others' writes and flushes are counted, too)"
        if not self.is_fair:
            self.words += ", not known to have a journal: queues of one file per message look worse than they are"

    def make_image(self, build, size):
        image = build / f"disk-{os.getpid()}.img"
        free = shutil.disk_usage(build).free
        if free < size + GIB:
            raise OSError(f"{size / GIB:.0f} GiB are needed for the disk image, and {free / GIB:.1f} GiB are free")
        try:
            run("dd", "if=/dev/zero", f"of={image}", "bs=4M", f"count={int(size) >> 22}", "oflag=direct", "conv=fsync")
            run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", image)
            try:
                loop = run("losetup", "--direct-io=on", "--find", "--show", image)
            except OSError:
                loop = run("losetup", "--find", "--show", image)
            try:
                self.mount("-o", "noatime,nodiscard", loop, self.measured)
            finally:
                # From now on it is held by the mount alone.
                run("losetup", "-d", loop)
        finally:
            image.unlink(missing_ok=True)
        self.device = self.counters_of(loop)
        source, kind = source_of(build)
        self.words = f"ext4 with a journal, {size / GIB:.1f} GiB in a file on {kind} ({source}), all blocks written before"
        if not is_journaled(self.measured):
            raise OSError("the new file system has no journal")

    @staticmethod
    def counters_of(source):
        stat = pathlib.Path("/sys/class/block") / pathlib.Path(source).resolve().name / "stat"
        return stat if stat.exists() else None

    def counters(self):
        """Bytes written, writes and flushes of the device so far; None where nobody counts."""
        if not self.device:
            return None
        fields = [int(f) for f in self.device.read_text().split()]
        return {"bytes": fields[6] * 512, "writes": fields[4], "flushes": fields[15] if len(fields) > 15 else 0}

    def settle(self):
        """What was written before is not counted with what comes."""
        subprocess.run(["sync", "-f", str(self.measured)], check=False, timeout=600)

    def close(self):
        for mount in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)
        self.mounts = []
        if self.measured.is_symlink():
            shutil.rmtree(self.measured.resolve(), ignore_errors=True)
        if not os.environ.get(APART):
            shutil.rmtree(self.base, ignore_errors=True)


class Place:
    """One measurement's two folders and all it started; short, since paths of sockets are."""

    def __init__(self, disk):
        self.owner = disk
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="a", dir=disk.aside))
        self.disk = pathlib.Path(tempfile.mkdtemp(prefix="d", dir=disk.measured)).resolve()
        for folder in (self.path, self.disk):
            folder.chmod(0o755)
        self.started, self.mounts = [], []

    def add(self, thing):
        self.started.append(thing)
        return thing

    def bind(self, what, where):
        run("mount", "--rbind", what, where)
        self.mounts.append(where)

    def close(self):
        errors = []
        for thing in reversed(self.started):
            try:
                thing.stop()
            except Exception as error:  # the rest is still to be stopped
                errors.append(str(error))
        for mount in reversed(self.mounts):
            subprocess.run(["umount", "-l", str(mount)], check=False, capture_output=True)
        for folder in (self.path, self.disk):
            shutil.rmtree(folder, ignore_errors=True)
        # Removal of a hundred thousand files must not be written while the next one is measured.
        self.owner.settle()
        return errors
