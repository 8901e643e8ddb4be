"""Faults of processes: killed, stalled, asked to stop; one rank, all of them, or what started them."""
import os
import signal

from lab import ERROR, HOST, INTERRUPTED, KILLED, Job, Lab, Run

KILL_CAUSE = rf"noticed that process rank %d with PID \d+ on node {HOST} exited on signal 9"
STALL_TIMEOUT = 15  # enough for all ranks to start, too, on a busy machine


def kill_rank(run: Run, ranks: int, victim: int, when=None):
    """SIGKILL: the launcher says which rank, and ends the others at once."""
    with Job(run, ranks) as job:
        pid = job.until_steps(run.lab.random.randint(2, 4))[victim]
        if when:
            when(job)
        os.kill(pid, signal.SIGKILL)
        job.expect_end(KILLED, KILL_CAUSE % victim, within=30)


def kill_while_saving(run: Run, ranks: int, victim: int):
    kill_rank(run, ranks, victim, Job.until_saving)


def kill_launcher(run: Run, ranks: int, name: str):
    """SIGKILL of launch/mpi or mpirun: nobody is left who could tell, and none of the job's processes is left either."""
    with Job(run, ranks) as job:
        job.until_steps(run.lab.random.randint(2, 4))
        os.kill(job.process.pid if name == "launch/mpi" else job.mpirun_pid(), signal.SIGKILL)
        job.expect_end(KILLED, None, within=30)


def stall(run: Run, ranks: int, victim: int):
    """SIGSTOP: the watchdog names the rank and where it stood."""
    with Job(run, ranks, "--set", f"comm.timeout={STALL_TIMEOUT}") as job:
        pid = job.until_steps(run.lab.random.randint(2, 4))[victim]
        os.kill(pid, signal.SIGSTOP)
        job.expect_end(ERROR, rf"rank {victim} on host {HOST} has not answered for \d+ s \(last in phase \w+ \(step \d+\)\)",
                       within=3 * STALL_TIMEOUT + 10)


def stall_while_saving(run: Run, ranks: int, victim: int):
    """The same in the middle of a checkpoint, which may be gone, but no earlier one is."""
    with Job(run, ranks, "--set", f"comm.timeout={STALL_TIMEOUT}") as job:
        pid = job.until_steps(2)[victim]
        job.until_saving()
        os.kill(pid, signal.SIGSTOP)
        job.expect_end(ERROR, rf"rank {victim} on host {HOST} has not answered for \d+ s", within=3 * STALL_TIMEOUT + 10)


def stall_at_start(run: Run, ranks: int, victim: int):
    """A rank that never comes to MPI_Init: the others say for what they have waited, one of them aloud."""
    with Job(run, ranks, "--set", f"comm.timeout={STALL_TIMEOUT}") as job:
        os.kill(job.until(lambda: job.rank_pids().get(victim), "the rank's process", pause=0.001), signal.SIGSTOP)
        job.expect_end(ERROR, rf"rank \d on host {HOST} has waited {STALL_TIMEOUT} s \(comm.timeout\) for the start of all ranks",
                       within=3 * STALL_TIMEOUT + 10)


def ask(run: Run, ranks: int, number: int, whom):
    """A request to stop, to `whom` (a function of the job): all ranks end together after their step, with a checkpoint."""
    with Job(run, ranks) as job:
        job.until_steps(run.lab.random.randint(2, 4))
        for pid in whom(job):
            os.kill(pid, number)
        text = job.expect_end(INTERRUPTED, None, within=20)
    done, saved = run.done_steps(), run.published()[-1]
    assert "interrupted by signal; a checkpoint is written" in text, text
    assert saved == done, f"stopped after step {done}, but the last checkpoint is that of step {saved}"


def launcher(job: Job):
    return [job.process.pid]


def all_ranks(job: Job):
    return job.rank_pids().values()


def one_rank(rank: int):
    return lambda job: [job.rank_pids()[rank]]


def ask_at_start(run: Run, ranks: int):
    """A request to stop while the ranks are still starting is not missed."""
    with Job(run, ranks) as job:
        job.until(job.rank_pids, "a rank's process", pause=0.001)
        os.kill(job.process.pid, signal.SIGTERM)
        job.expect_end(INTERRUPTED, None, within=60)


def fail_at_the_end(run: Run, ranks: int, fault: str, code: int, cause: str):
    """All is done, said and closed, and the watchdog has taken leave; but MPI ends in all ranks or in none."""
    with Job(run, ranks, "--set", f"comm.timeout={STALL_TIMEOUT}",
             "--inject", f"{fault},phase=end,attempt={run.lives + 1}") as job:
        job.expect_end(code, cause, within=60)
    assert (run.folder / "done.json").exists()
    run.expect_undisturbed_result()


def drill(lab: Lab):
    run = Run(lab, "killed")
    kill_rank(run, 3, 1)
    kill_while_saving(run, 2, 0)
    kill_rank(run, 4, 0)
    kill_while_saving(run, 3, 2)
    kill_launcher(run, 2, "mpirun")
    kill_launcher(run, 2, "launch/mpi")
    run.finish(3)

    run = Run(lab, "asked")
    ask(run, 2, signal.SIGTERM, launcher)
    ask(run, 3, signal.SIGUSR1, launcher)
    ask(run, 2, signal.SIGINT, launcher)
    ask(run, 3, signal.SIGTERM, all_ranks)
    run.finish(2)

    run = Run(lab, "asked_ranks")
    ask(run, 2, signal.SIGUSR1, all_ranks)
    ask(run, 3, signal.SIGTERM, one_rank(2))
    ask(run, 2, signal.SIGUSR1, one_rank(0))
    ask_at_start(run, 2)
    run.finish(1)

    run = Run(lab, "stalled")
    stall(run, 3, 0)
    stall(run, 3, 2)
    stall_while_saving(run, 2, 1)
    stall_at_start(run, 3, 0)
    run.finish(2)

    run = Run(lab, "ending")
    late = rf"^ranktune\[rank %d {HOST}\]: error: all is done, but another rank has not come to its end for {STALL_TIMEOUT} s"
    fail_at_the_end(run, 2, "stop:rank=0", ERROR, late % 1)
    fail_at_the_end(run, 3, "stop:rank=2", ERROR, late % 0)
    fail_at_the_end(run, 3, "kill:rank=1", KILLED, KILL_CAUSE % 1)
    run.finish(2)
