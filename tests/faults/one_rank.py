"""Faults inside one rank, whose process lives: no memory left, a NaN in its gradient, a disk too slow."""
import time

from lab import ERROR, HOST, Failed, Job, Lab, Run


def inject(run: Run, ranks: int, fault: str, cause: str):
    """All ranks end within seconds, and the line of cause names the rank and its host."""
    with Job(run, ranks, "--inject", fault) as job:
        job.expect_end(ERROR, cause, within=60)
    if (run.folder / "done.json").exists():
        raise Failed(f"{run.name} says that it is done")


def no_memory(lab: Lab):
    """An allocation fails for good: of one rank in the middle of a step, of another on its writer's thread."""
    run = Run(lab, "memory")
    inject(run, 3, "oom:rank=1,step=8", rf"^ranktune\[rank 1 {HOST}\]: error: out of memory \(")
    run.finish(2)


def not_a_number(lab: Lab):
    run = Run(lab, "nan")
    inject(run, 3, "nan:rank=2,step=11",
           rf"error: step 11: slot \d+ on rank 2 \(host {HOST}\), rows [\d, ]+: NaN or infinity in a gradient, first of base_model\.")
    if run.published()[-1] > 10:
        raise Failed(f"step 11 was not done, but there are checkpoints {run.published()}")
    run.finish(3)


def slow_disk(lab: Lab):
    """One rank's disk takes longer for a checkpoint than the steps between two: they go on during a save, the next save waits
    for it, and there is never a second one."""
    every, seconds = 12, 1.0
    run = Run(lab, "slow")
    most, beside = 0, set()
    with Job(run, 2, "--set", f"checkpoint.every={every}", "--inject", f"slow-disk:rank=1,seconds={seconds}") as job:
        while job.process.poll() is None:
            unfinished = job.unfinished_saves()
            most = max(most, len(unfinished))
            if unfinished:
                beside.add(run.done_steps())
            time.sleep(0.01)
        job.expect_done()
    if most != 1:
        raise Failed(f"{most} checkpoints were being written at once")
    if len(beside) <= 2 * lab.steps // every:
        raise Failed(f"training stood still during the saves: only after the steps {sorted(beside)} was one seen")
    saves = run.saves()
    if len(saves) != lab.steps // every or not all(row["checkpoint_saved"] and row["checkpoint_write_s"] >= seconds for row in saves):
        raise Failed(f"not a slow save every {every} steps but {saves}")
    waited = [row["checkpoint_blocking_s"] for row in saves[1:]]
    if min(waited) < 0.1 * seconds:
        raise Failed(f"the saves did not wait for each other: {waited}")
    run.expect_undisturbed_result()


def drill(lab: Lab):
    no_memory(lab)
    not_a_number(lab)
    slow_disk(lab)
