"""Starting, watching and ending the programs of a suite."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


def free_port():
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, seconds=20.0, what="the condition"):
    """Returns the first true answer of `condition`; the time limit is a safety net, not a measure."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.05)


def answers(url):
    """Whether an HTTP server speaks at `url`, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=2).close()
        return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


class Program:
    """A child process with its output kept in a file."""

    def __init__(self, log: Path):
        self.log = log
        self.child = None

    def spawn(self, arguments, **options):
        self.child = subprocess.Popen(
            arguments, stdout=self.log.open("ab"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, **options,
        )

    def running(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, number):
        os.killpg(self.child.pid, number)

    def kill(self):
        """Ends it as a power cut would, as far as a process can tell."""
        if self.running():
            self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()
            self.child = None

    def stop(self, seconds=15):
        """Asks it to end, and returns its exit status."""
        if self.child is None:
            return None
        if self.running():
            self.signal(signal.SIGTERM)
        status = self.child.wait(timeout=seconds)
        self.child = None
        return status

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""
