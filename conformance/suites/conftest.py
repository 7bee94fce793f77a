"""What the suites share: a folder for each test, and the servers, ended whatever happens."""

import pytest

from harness.gateway import Gateway
from harness.upstream import Radicale, Xandikos


# The longest ones, which begin first so that none is waited for at the end.
LONG = ["test_pages", "test_failpoints", "test_feeds", "test_brake", "test_kill", "test_outage"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture
def started(tmp_path):
    """Starts programs, and ends them with the test."""
    programs = []

    def start(program):
        programs.append(program)
        return program.start()

    yield start
    for program in reversed(programs):
        program.kill()


@pytest.fixture
def radicale(started, tmp_path):
    return started(Radicale(tmp_path))


@pytest.fixture
def xandikos(started, tmp_path):
    return started(Xandikos(tmp_path))


@pytest.fixture
def gateway(started, tmp_path):
    """A running gateway with the user `ana` and no account."""
    running = started(Gateway(tmp_path))
    running.add_user()
    return running
