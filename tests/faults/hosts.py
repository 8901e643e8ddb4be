"""Faults between two hosts: the network cut, all of a host's processes killed, or a rank there. Needs namespaces of its own.

This host, n1, starts mpirun; the other, n2, is further namespaces with a network of their own. Between the two is one link, over
which goes all that mpirun, its daemon on n2 and the ranks tell each other.
"""
import os
import re
import signal
import subprocess
from pathlib import Path

from lab import ERROR, INTERRUPTED, KILLED, PROJECT, Failed, Job, Lab, Run, kill_if_there, until

HERE, THERE = "n1", "n2"
ADDRESSES = {HERE: "10.78.0.1", THERE: "10.78.0.2"}
INSIDE = f"""
hostname {THERE}
ip link set lo up
mount -t tmpfs tmpfs /dev/shm
until ip addr add {ADDRESSES[THERE]}/24 dev eth0 2>/dev/null; do sleep 0.05; done
ip link set eth0 up
echo up
while :; do wait -n || sleep 1; done # and reap what jobs leave
"""
ACROSS = [PROJECT / "launch/mpi", "-n", 4, "--host", f"{HERE}:2,{THERE}:2"]
TIMEOUT = 15  # enough for all ranks to start, too, on a busy machine
LOST_DAEMON = 205  # mpirun's, where the connection to another host's daemon ended


def ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True)


class OtherHost:
    """n2, and how mpirun gets there: instead of ssh, by entering its namespaces."""

    def __init__(self, lab: Lab):
        names = lab.work / "hosts"
        names.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in ADDRESSES.items()))
        subprocess.run(["mount", "--bind", names, "/etc/hosts"], check=True)
        self.shell = subprocess.Popen([PROJECT / "tests/support/isolate", "bash", "-c", INSIDE], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, text=True)
        until(lambda: namespace(self.shell.pid, "net") != namespace(os.getpid(), "net"), 30, "a network of its own")
        ip("link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", self.shell.pid)
        ip("addr", "add", f"{ADDRESSES[HERE]}/24", "dev", "cable")
        ip("link", "set", "cable", "up")
        self.shell.stdout.readline()
        self.init = int(Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children").read_text())
        agent = lab.work / "agent"
        agent.write_text(f'#!/bin/bash\nexec nsenter --target {self.init} --all --root -- bash -c "${{*:2}}"\n')
        agent.chmod(0o755)
        os.environ["OMPI_MCA_plm_rsh_agent"] = str(agent)

    def cut_off(self):
        ip("link", "set", "cable", "down")

    def reconnect(self):
        ip("link", "set", "cable", "up")

    def processes(self, job: Job) -> list[int]:
        return [pid for pid in job.left() if namespace(pid, "pid") == namespace(self.init, "pid")]


def namespace(pid: int, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:  # it is gone
        return ""


def cut(lab: Lab, other: OtherHost):
    """Nobody hears of the other host any more: the ranks on both sides end, each side naming one of the other, and mpirun does,
    which would wait for a quarter of an hour. So does its daemon over there, once it hears that nobody waits for it."""
    run = Run(lab, "cut")
    said = lab.work / "said"
    with Job(run, 4, "--set", f"comm.timeout={TIMEOUT}", launch=[*ACROSS, "--output-filename", said]) as job:
        job.until_steps(lab.random.randint(2, 4))
        other.cut_off()
        job.expect_end(ERROR, silent_rank(0, HERE, "[23]", THERE), within=TIMEOUT + 90, gone_within=30, but="orted")
        there = "".join(path.read_text() for path in sorted(said.glob("*/rank.[23]/stderr")))
        if not re.search(silent_rank("[23]", THERE, 0, HERE), there, re.MULTILINE):
            raise Failed(f"the ranks of {THERE} said: {there}")
        other.reconnect()
        until(lambda: not job.left(), 60, "the end of mpirun's daemon")
    run.finish(4, launch=ACROSS)


def silent_rank(speaker, its_host: str, rank, host: str) -> str:
    return (rf"^ranktune\[rank {speaker} {its_host}\]: error: rank {rank} on host {host} has not answered for \d+ s "
            r"\(last in phase \w+ \(step \d+\)\); ending the job")


def kill_all_there(run: Run, other: OtherHost):
    """All at once, as where it crashes: mpirun can tell the host only, for its daemon is gone."""
    with Job(run, 4, launch=ACROSS) as job:
        job.until_steps(run.lab.random.randint(2, 4))
        for pid in other.processes(job):
            kill_if_there(pid)
        text = job.expect_end(LOST_DAEMON, "lost communication with a remote daemon", within=30)
        if not re.search(rf"Remote daemon: .* on node {THERE}$", text, re.MULTILINE):
            raise job.finding(f"nothing names {THERE}")


def kill_one_there(run: Run):
    with Job(run, 4, launch=ACROSS) as job:
        os.kill(job.until_steps(run.lab.random.randint(2, 4))[2], signal.SIGKILL)
        job.expect_end(KILLED, rf"noticed that process rank 2 with PID \d+ on node {THERE} exited on signal 9", within=30)


def ask(run: Run):
    """A request to stop, here, ends the ranks of both hosts with a checkpoint."""
    with Job(run, 4, launch=ACROSS) as job:
        job.until_steps(run.lab.random.randint(2, 4))
        job.process.send_signal(signal.SIGTERM)
        job.expect_end(INTERRUPTED, None, within=20)
    if run.published()[-1] != run.done_steps():
        raise Failed(f"stopped after step {run.done_steps()}, but the last checkpoint is that of step {run.published()[-1]}")


def prepare():
    """This host's name and network: what it had is not to be touched."""
    subprocess.run(["hostname", HERE], check=True)
    ip("link", "set", "lo", "up")


def drill(lab: Lab):
    other = OtherHost(lab)
    cut(lab, other)
    run = Run(lab, "killed")
    kill_all_there(run, other)
    kill_one_there(run)
    ask(run)
    run.finish(4, launch=ACROSS)
