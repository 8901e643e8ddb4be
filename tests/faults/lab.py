"""What the fault drill and the campaign share: a tiny model and its data, runs of the real program, and what is asked of them.

A Run is one training with one folder. It is lived in Jobs: the real program under launch/mpi, each ended by a fault but the last.
After every life the next one must lose no more than the steps since the last checkpoint that was whole, and the end must be,
bit for bit, that of the undisturbed run.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DONE, ERROR, INTERRUPTED = 0, 1, 75
KILLED = 128 + signal.SIGKILL  # what mpirun ends with when a rank was killed
HOST = re.escape(socket.gethostname())
TRAIN_TOML = """device = "cpu"
[run]
dir = "replaced"
[model]
path = "{work}/model"
dtype = "fp32"
[data]
train = "{work}/train.h5"
validation = "{work}/validation.h5"
[train]
epochs = 0
max_steps = {steps}
validate_every = 20
log_every = 1
[batch]
tokens_per_slot = 256
sequences_per_step = 4
[lora]
dropout = 0.1
[checkpoint]
every = {every}
keep = {keep}
[comm]
timeout = {timeout}
"""


class Failed(Exception):
    """What a fault brought to light; its text is the finding, with what the job said."""


def until(condition, seconds: float, what: str, pause: float = 0.01):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(pause)
    return value


def rows_in(metrics: Path) -> list[dict]:
    try:
        lines = metrics.read_text().splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:  # a line that is being written
            break
    return rows


class Lab:
    """A folder with model, data and configuration, and the undisturbed run that all others must equal."""

    def __init__(self, ranktune: str, *, steps: int = 48, every: int = 3, keep: int = 3, timeout: int = 60, seed: int = 0):
        self.ranktune, self.steps, self.every, self.random = ranktune, steps, every, random.Random(seed)
        self.work = Path(tempfile.mkdtemp(prefix="ranktune-faults."))
        subprocess.run(["python3", PROJECT / "tests/support/make_tiny_model.py", self.work], check=True)
        self.tool("prep", "--model", self.work / "model", "--output", self.work / "train.h5", "--max-length", "256",
                  self.work / "chats.jsonl")
        few = self.work / "few.jsonl"
        few.write_text("".join((self.work / "chats.jsonl").read_text().splitlines(keepends=True)[:8]))
        self.tool("prep", "--model", self.work / "model", "--output", self.work / "validation.h5", "--max-length", "256", few)
        self.config = self.work / "train.toml"
        self.config.write_text(TRAIN_TOML.format(work=self.work, steps=steps, every=every, keep=keep, timeout=timeout))
        undisturbed = Run(self, "undisturbed")
        Job(undisturbed, 1).expect_done()
        self.adapter, self.figures = undisturbed.adapter(), undisturbed.figures()
        if len(self.figures) < steps:
            raise Failed(f"the undisturbed run tells of {len(self.figures)} steps, not {steps}")

    def tool(self, *arguments) -> str:
        done = subprocess.run([self.ranktune, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            raise Failed(f"ranktune {arguments[0]} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)


class Run:
    """One training: its folder, and the lives it has had."""

    def __init__(self, lab: Lab, name: str, folder: Path | None = None):
        self.lab, self.name, self.lives = lab, name, 0
        self.folder = folder or lab.work / name
        self.checkpoints = self.folder / "checkpoints"

    def rows(self) -> list[dict]:
        """What it has said of steps and validations."""
        return [row for row in rows_in(self.folder / "metrics.jsonl") if "checkpoint" not in row]

    def saves(self) -> list[dict]:
        """And of checkpoints."""
        return [row for row in rows_in(self.folder / "metrics.jsonl") if "checkpoint" in row]

    def done_steps(self) -> int:
        rows = self.rows()
        return rows[-1]["step"] if rows else 0

    def published(self) -> list[int]:
        """Steps of the checkpoints that have their final name."""
        try:
            names = os.listdir(self.checkpoints)
        except FileNotFoundError:
            return []
        return sorted(int(name[5:]) for name in names if re.fullmatch("step-[0-9]+", name))

    def adapter(self) -> bytes:
        return (self.folder / "adapter/adapter_model.safetensors").read_bytes()

    def figures(self) -> list[tuple]:
        return [(row["step"], row.get("loss"), row.get("grad_norm"), row.get("validation_loss")) for row in self.rows()]

    def finish(self, ranks: int, saves_failed: bool = False, launch: list | None = None):
        """The same command again, undisturbed: it goes on where it should, and ends as the undisturbed run did. Where saves have
        failed, that is the newest checkpoint there is."""
        job = Job(self, ranks, launch=launch)
        if saves_failed:
            job.least_resumed = max(self.published())
        job.expect_done()
        self.expect_undisturbed_result()

    def expect_undisturbed_result(self):
        if self.adapter() != self.lab.adapter:
            raise Failed(f"{self.name}: the adapter differs from that of the undisturbed run")
        for own, other in zip(self.figures(), self.lab.figures):
            if own != other:
                raise Failed(f"{self.name}: {own}, undisturbed {other}")
        if len(self.figures()) != len(self.lab.figures):
            raise Failed(f"{self.name}: {len(self.figures())} rows of figures, undisturbed {len(self.lab.figures)}")


class Job:
    """One life of a run."""

    def __init__(self, run: Run, ranks: int, *arguments: str, launch: list | None = None):
        run.lives += 1
        self.run, self.ranks, self.lab = run, ranks, run.lab
        self.mark = f"RANKTUNE_DRILL={uuid.uuid4()}"
        self.log = self.lab.work / f"{run.name}.life{run.lives}.log"
        self.before = run.done_steps()
        self.least_resumed = least_resumed(run)
        launch = launch or [PROJECT / "launch/mpi", "-n", ranks]
        command = [*launch, self.lab.ranktune, "train", self.lab.config, "--set", f"run.dir={run.folder}", *arguments]
        name, value = self.mark.split("=")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True,
                                            env={**os.environ, name: value, "OMP_NUM_THREADS": "1"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.left():
            kill_if_there(pid)

    # What can be seen of it from outside.
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def finding(self, what: str) -> Failed:
        lines = self.text().splitlines()
        return Failed("\n".join([f"{self.run.name}, life {self.run.lives}: {what}", *lines[:2], "...", *lines[-40:]]))

    def left(self) -> list[int]:
        """Its processes: those that carry its mark."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            if self.mark.encode() in environment_of(int(name)):
                found.append(int(name))
        return found

    def rank_pids(self) -> dict[int, int]:
        """The process of every rank that runs."""
        found = {}
        for pid in self.left():
            try:
                # Not by its path, which is another one for a process of another mount namespace.
                if not os.path.samefile(f"/proc/{pid}/exe", self.lab.ranktune):
                    continue
            except OSError:
                continue
            for entry in environment_of(pid):
                if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
                    found[int(entry.split(b"=")[1])] = pid
        return found

    def mpirun_pid(self) -> int:
        return next(pid for pid in self.left() if command_of(pid).split(" ")[0].endswith("mpirun"))

    def unfinished_saves(self) -> list[str]:
        try:
            return [name for name in os.listdir(self.run.checkpoints) if name.startswith(".")]
        except FileNotFoundError:
            return []

    def saving(self) -> bool:
        return bool(self.unfinished_saves())

    # Waiting for a moment.
    def until(self, condition, what: str, seconds: float = 180, pause: float = 0.01):
        def or_ended():
            value = condition()
            if not value and self.process.poll() is not None:
                raise self.finding(f"ended before {what}")
            return value
        return until(or_ended, seconds, f"{self.run.name}: {what}", pause)

    def until_steps(self, more: int):
        """Until it has done that many steps, and the ranks run."""
        self.until(lambda: "\nstep " in self.text(), "the first step")
        goal = self.run.done_steps() + more
        self.until(lambda: self.run.done_steps() >= goal, f"step {goal}")
        return self.rank_pids()

    def until_saving(self):
        self.until(self.saving, "a save", pause=0.001)

    # Its end.
    def expect_end(self, codes, cause: str | None, within: float = 60, gone_within: float = 30, but: str = "nothing"):
        """It ends with one of these codes within that time, one line tells the cause, and soon none of its processes is left but
        those of the program `but`."""
        codes = codes if isinstance(codes, tuple) else (codes,)
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise self.finding(f"has not ended in {within:.0f} s") from None
        code = 128 - code if code < 0 else code
        text = self.text()
        if code not in codes:
            raise self.finding(f"exit code {code}, not {codes}")
        said = causes(text)
        if cause is None and said:
            raise self.finding(f"there is no cause to tell, but it says {said}")
        if cause is not None and not (len(said) == 1 and re.search(cause, said[0])):
            raise self.finding(f"not one line of cause with \"{cause}\", but {said}")
        try:
            until(lambda: all(command_of(pid).startswith((but, "(gone)")) for pid in self.left()), gone_within, "")
        except Failed:
            raise self.finding(f"{gone_within:.0f} s later these are left: {list(map(command_of, self.left()))}") from None
        self.expect_resumed()
        return text

    def expect_done(self):
        return self.expect_end(DONE, None, within=300)

    def expect_resumed(self):
        """It went on from where it had to."""
        found = re.search(r"^resuming after step (\d+) from", self.text(), re.MULTILINE)
        resumed = int(found[1]) if found else 0
        started = re.search(r"^\d+ rows, \d+ steps", self.text(), re.MULTILINE)
        if started and resumed < self.least_resumed:
            raise self.finding(f"resumed after step {resumed}, but {self.before} steps were done and it must go on after "
                               f"{self.least_resumed} or later")


def kill_if_there(pid: int):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it is gone
        return []


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")[:120].decode(errors="replace")
    except OSError:
        return "(gone)"


def causes(text: str) -> list[str]:
    """The lines that tell why a job ended: the program's, or mpirun's about a process that cannot tell any more.

    Not those of Open MPI's ranks, which see a connection to another host close before mpirun hears why."""
    return [line for line in text.splitlines() if re.search(r"(^|: )error: |noticed that process rank|lost communication with|unexpectedly (?!disconnected)", line)]


def least_resumed(run: Run) -> int:
    """The newest checkpoint there is; and no save but the last one begun may be missing."""
    begun = (run.done_steps() - 1) // run.lab.every * run.lab.every
    return max([begun - run.lab.every, *run.published()])
