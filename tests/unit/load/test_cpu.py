"""CPU time is counted over a process and its descendants."""

import os
import subprocess
import sys

from worker.load.cpu import cpu_spent

BUSY = """
import sys, time
while time.process_time() < 0.3: pass
print("ready", flush=True)
sys.stdin.read()
"""


def test_counts_descendants_by_program() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        spent = cpu_spent(os.getpid())
        child.communicate()
    assert spent[child.pid].seconds >= 0.25
    assert spent[child.pid].program.startswith("python")
    assert spent[os.getpid()].seconds > 0
    assert os.getppid() not in spent


def test_an_ended_process_has_no_descendants() -> None:
    assert cpu_spent(2**22 + 1) == {}
