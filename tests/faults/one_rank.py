"""Faults inside one rank, whose process lives: no memory left, a NaN in its gradient, a disk too slow."""
import re
import time

from lab import ERROR, HOST, Failed, Job, Lab, Run


def inject(run: Run, ranks: int, fault: str, cause: str):
    """All ranks end within seconds, and the line of cause names the rank and its host."""
    with Job(run, ranks, "--inject", fault) as job:
        job.expect_end(ERROR, cause, within=60)
    if (run.folder / "done.json").exists():
        raise Failed(f"{run.name} says that it is done")


def no_memory(lab: Lab):
    """An allocation really fails, and so would all later ones."""
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
    every, seconds = 8, 5.0  # steps take a tenth of that, or half of it on a slow machine
    run = Run(lab, "slow")
    most, beside = 0, set()
    with Job(run, 2, "--set", f"checkpoint.every={every}", "--inject", f"slow-disk:rank=1,seconds={seconds}") as job:
        while job.process.poll() is None:
            unfinished = job.unfinished_saves()
            most = max(most, len(unfinished))
            if unfinished:
                beside.add(run.done_steps())
            time.sleep(0.01)
        text = job.expect_done()
    said = re.search(rf"warning: training waited .* s until step-\d+ was written; slowest was rank 1 on host {HOST}, with ([\d.]+) s", text)
    if not said or float(said[1]) < seconds:
        raise Failed(f"nothing says whose disk is slow:\n{text}")
    saves = run.saves()
    if most != 1:
        raise Failed(f"{most} checkpoints were being written at once")
    if len(beside) <= 2 * len(saves):
        raise Failed(f"training stood still during {len(saves)} saves: only after the steps {sorted(beside)} was one seen")
    if not {*range(every, lab.steps + 1, every)} <= {save["step"] for save in saves if save["checkpoint_saved"]}:
        raise Failed(f"not a checkpoint every {every} steps but {saves}")
    if not all(save["checkpoint_interval_s"] >= seconds for save in saves[1:]):
        raise Failed(f"a save did not wait for the one before: {saves}")
    run.expect_undisturbed_result()


def drill(lab: Lab):
    no_memory(lab)
    not_a_number(lab)
    slow_disk(lab)
