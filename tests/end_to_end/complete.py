#!/usr/bin/env python3
"""Types words and Tab into an interactive bash that has sourced the completion script, and reads what bash completes.

usage: complete.py RANKTUNE FOLDER     FOLDER: holds data.h5 alone
"""
import os
import pty
import re
import select
import sys
import time

CASES = [  # what is typed before Tab, what bash makes of it
    ("ranktune ins", "ranktune inspect"),
    ("ranktune com", "ranktune completion"),
    ("ranktune che", "ranktune checkpoint"),
    ("ranktune --ver", "ranktune --version"),
    ("ranktune checkpoint ve", "ranktune checkpoint verify"),
    ("ranktune checkpoint prune --keep-b", "ranktune checkpoint prune --keep-best"),
    ("ranktune checkpoint list da", "ranktune checkpoint list data.h5"),
    ("ranktune completion ", "ranktune completion bash"),
    ("ranktune train --pri", "ranktune train --print-config"),
    ("ranktune train --resume n", "ranktune train --resume none"),
    ("ranktune generate --dtype b", "ranktune generate --dtype bf16"),
    ("ranktune train x.toml --set optimizer.weight", "ranktune train x.toml --set optimizer.weight_decay="),
    ("ranktune train --set zero.s", "ranktune train --set zero.stage="),
    ("ranktune inspect da", "ranktune inspect data.h5"),
    ("ranktune export --adapter da", "ranktune export --adapter data.h5"),
    ("ranktune inspect --zzz", "ranktune inspect --zzz"),
]


class Bash:
    """bash on a terminal of its own; its prompt marks where an answer ends."""
    def __init__(self, folder: str, path: str):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ.update(PATH=f"{path}:{os.environ['PATH']}", PS1="READY>", INPUTRC="/dev/null", TERM="dumb", COLUMNS="400")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.read_until("READY>")

    def read_until(self, mark: str, seconds: float = 20) -> str:
        text, end = "", time.monotonic() + seconds
        while mark not in text:
            if not select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))[0]:
                sys.exit(f"bash did not answer {mark!r} but {text!r}")
            text += os.read(self.terminal, 65536).decode()
        return text

    def run(self, line: str) -> str:
        os.write(self.terminal, line.encode() + b"\n")
        return self.read_until("READY>")

    def complete(self, typed: str) -> str:
        """Tab after `typed`; then the line goes to echo instead, between brackets, to be read as bash has it."""
        # Ctrl-A, text, Ctrl-E: the completed line becomes an argument of echo.
        os.write(self.terminal, typed.encode() + b"\t\x01echo '[\x05]'\n")
        return re.findall(r"^\[(.*)\]\r?$", self.read_until("]\r\nREADY>"), re.MULTILINE)[-1]


def main() -> int:
    program, folder = sys.argv[1:]
    bash = Bash(folder, os.path.dirname(os.path.abspath(program)))
    bash.run("bind 'set bell-style none'; bind 'set enable-bracketed-paste off'")
    bash.run("source <(ranktune completion bash)")
    wrong = 0
    for typed, expected in CASES:
        found = bash.complete(typed).rstrip()
        if found != expected:
            wrong += 1
            print(f"{typed!r}: completed to {found!r}, not {expected!r}")
    os.write(bash.terminal, b"exit\n")
    os.waitpid(bash.pid, 0)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
