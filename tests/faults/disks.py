"""Faults of the disk under a run: full, read-only, gone. Needs namespaces of its own (mounts)."""
import re
import shutil
import subprocess
from pathlib import Path

from lab import ERROR, HOST, Failed, Job, Lab, Run

NOT_SAVED = rf"^ranktune\[rank 0 {HOST}\]: warning: checkpoint step-\d+ was not saved, training goes on: rank \d+ \({HOST}\): "


class Disk:
    """A small filesystem in memory, under the folder of a run."""

    def __init__(self, place: Path):
        self.place = place
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)

    def fill(self):
        with open(self.place / "ballast", "ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                pass

    def empty(self):
        (self.place / "ballast").unlink()

    def make_read_only(self) -> bool:
        """False where a file is open for writing just now."""
        return subprocess.run(["mount", "-o", "remount,ro", self.place], stderr=subprocess.DEVNULL, check=False).returncode == 0


def warned(job: Job) -> bool:
    return "was not saved, training goes on" in job.text()


def saves_again(job: Job, run: Run):
    newest = max(run.published(), default=0)
    job.until(lambda: max(run.published(), default=0) > newest, "a checkpoint after the fault", seconds=60)


def full_for_a_while(lab: Lab):
    """Checkpoints and metrics find no room: warnings, and training goes on; with room they are written again, no line missing."""
    disk = Disk(lab.work / "full")
    run = Run(lab, "full", disk.place / "run")
    with Job(run, 2) as job:
        job.until_steps(4)
        kept = run.published()
        disk.fill()
        job.until(lambda: warned(job), "the warning")
        if not set(kept) & set(run.published()):
            raise Failed(f"the checkpoints {kept} from before are gone")
        disk.empty()
        saves_again(job, run)
        text = job.expect_done()
    expect_warnings(text, "No space left on device|bytes free")
    run.expect_undisturbed_result()


def full_at_the_end(lab: Lab):
    """No room for the adapter: an error, nothing half-written, and with room the same command ends well."""
    disk = Disk(lab.work / "end")
    run = Run(lab, "end", disk.place / "run")
    with Job(run, 3) as job:
        job.until_steps(4)
        disk.fill()
        job.until(lambda: warned(job), "the warning")
        disk.fill()  # what a failed save gave back; later ones find too little room to begin
        job.expect_end(ERROR, rf"^ranktune\[rank 0 {HOST}\]: error: .*{disk.place}/run/.?adapter.*No space left on device", within=90)
    left = [path for path in run.folder.rglob("*") if "adapter" in path.relative_to(run.folder).parts[0]]
    if left or (run.folder / "done.json").exists():
        raise Failed(f"half a result was left: {left}")
    disk.empty()
    run.finish(2, saves_failed=True)


def read_only(lab: Lab):
    """The checkpoints' filesystem turns read-only: warnings, and the training ends well without them."""
    run = Run(lab, "readonly")
    disk = Disk(run.checkpoints)
    with Job(run, 2) as job:
        job.until_steps(4)
        job.until(disk.make_read_only, "a moment without an open file")
        text = job.expect_done()
    expect_warnings(text, "Read-only file system|cannot be written to")
    run.expect_undisturbed_result()


def vanished(lab: Lab):
    """Somebody removes the checkpoints in the middle: later ones are written all the same."""
    run = Run(lab, "vanished")
    with Job(run, 2) as job:
        job.until_steps(4)
        for _ in range(3):
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            saves_again(job, run)
        text = job.expect_done()
    if not re.search(rf"^ranktune\[rank 0 {HOST}\]: warning: {run.checkpoints} is gone, and all checkpoints in it", text, re.MULTILINE):
        raise Failed(f"nothing says that the checkpoints are gone:\n{text}")
    run.expect_undisturbed_result()


def expect_warnings(text: str, reason: str):
    lines = [line for line in text.splitlines() if "was not saved" in line]
    if not lines or not all(re.search(f"{NOT_SAVED}.*({reason})", line) for line in lines):
        raise Failed(f"not warnings of \"{reason}\" but {lines}")


def prepare():
    """mpirun needs a network, and this one is new."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def drill(lab: Lab):
    full_for_a_while(lab)
    full_at_the_end(lab)
    read_only(lab)
    vanished(lab)
