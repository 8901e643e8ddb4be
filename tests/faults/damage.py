"""Damage to what is read: every file of a checkpoint with a bit flipped and cut short, a chunk of the training data."""
import os
import re
import shutil
import signal
from pathlib import Path

from lab import ERROR, HOST, INTERRUPTED, KILLED, Failed, Job, Lab, Run


def flip_bit(path: Path, lab: Lab):
    data = bytearray(path.read_bytes())
    data[lab.random.randrange(len(data))] ^= 1 << lab.random.randrange(8)
    path.write_bytes(data)


def cut_short(path: Path, lab: Lab):
    path.write_bytes(path.read_bytes()[:lab.random.randrange(path.stat().st_size)])


def remove(path: Path, _: Lab):
    path.unlink()


def damage_every_file(lab: Lab, how, ranks: int):
    """A run with a checkpoint for every kind of file, in each of which another file is damaged, and an older one that is whole:
    it goes on from that one, says of the others which file is damaged, and ends as the undisturbed run did."""
    run = Run(lab, how.__name__)
    files = ["manifest.json", "trainer.json", "adapter_config.json", "adapter_model.safetensors", "ranktune.json",
             *optimizer_files(2)]
    # It stands still where it has enough of them: it shall not be done before it is asked to stop.
    with Job(run, 2, "--set", "checkpoint.keep=9", "--inject", "stall:rank=0,step=26,seconds=5") as job:
        job.until(lambda: len(run.published()) > len(files), "enough checkpoints")
        job.process.send_signal(signal.SIGTERM)
        job.expect_end(INTERRUPTED, None)
    steps = run.published()[-len(files):]
    present = sorted(path.name for path in (run.checkpoints / f"step-{steps[0]:06}").iterdir())
    if not set(files) <= set(present):
        raise Failed(f"a checkpoint holds {present}")
    untouched = set(present) - set(files)
    if untouched:
        raise Failed(f"the drill damages no {untouched}")
    for step, name in zip(steps, files):
        how(run.checkpoints / f"step-{step:06}" / name, lab)
    whole = run.published()[-len(files) - 1]
    with Job(run, ranks, "--set", "checkpoint.keep=1") as job:
        job.least_resumed = whole
        saved = job.until(lambda: re.search(r"^checkpoint step-(\d+) \(", job.text(), re.MULTILINE), "a checkpoint")
        os.kill(job.rank_pids()[0], signal.SIGKILL)
        job.expect_end(KILLED, "rank 0")
        for step, name in zip(steps, files):
            if not any(f"warning: checkpoint step-{step:06} is not used: " in line and name in line
                       for line in job.text().splitlines()):
                raise job.finding(f"nothing says that {name} of step {step} is damaged")
    with Job(run, ranks) as job:  # the damaged ones of later steps have not pushed out the new one
        job.least_resumed = int(saved[1])
        job.expect_done()
    run.expect_undisturbed_result()


def optimizer_files(parts: int) -> list[str]:
    return [f"optimizer-{part:05}-of-{parts:05}.safetensors" for part in range(parts)]


def bad_chunk(lab: Lab):
    """A bit of the tokens is another: HDF5's checksum finds it when the chunk is read; with the file mended, the run goes on."""
    run = Run(lab, "chunk")
    whole = lab.work / "whole.h5"
    train = lab.work / "train.h5"
    shutil.copy(train, whole)
    with Job(run, 2) as job:
        job.until_steps(8)
        job.process.send_signal(signal.SIGTERM)
        job.expect_end(INTERRUPTED, None)
    spoil_tokens(train)
    with Job(run, 2) as job:
        job.expect_end(ERROR, rf"^ranktune\[rank 0 {HOST}\]: error: .*train\.h5: dataset /(tokens|loss_mask): cannot be read, .*Fletcher32 checksum", within=60)
    shutil.copy(whole, train)
    run.finish(2)


def spoil_tokens(path: Path):
    """Flips a bit in the middle of the largest chunk: as the file is mostly tokens, the middle of the file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def drill(lab: Lab):
    damage_every_file(lab, flip_bit, 3)
    damage_every_file(lab, cut_short, 1)
    damage_every_file(lab, remove, 2)
    bad_chunk(lab)
