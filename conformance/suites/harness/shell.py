"""What every command promises whoever calls it from a shell: exit status, what goes to stdout and what to stderr, times."""

import json
import re

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def fails(gateway, *arguments, says="", code=1):
    """A command that must fail, with `--json` and without: the status, nothing on stdout, and for 1 one plain line with what `says`."""
    for more in ((), ("--json",)):
        done = gateway.run(*arguments, *more)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        assert done.stdout == "", (arguments, done.stdout)
        if code == 1:
            (line,) = done.stderr.strip().splitlines()
            assert line.startswith("lineartime: ") and says in line, (arguments, line)
            assert "panicked" not in line and "Error" not in line and "{" not in line, (arguments, line)
    return done.stderr


def plain(gateway, *arguments):
    """What a command prints for people: words, and no JSON."""
    text = gateway.cli(*arguments)
    assert not text.lstrip().startswith(("{", "[")), text
    return text


def both(gateway, *arguments):
    """The text and the document of a command that only looks."""
    return plain(gateway, *arguments), gateway.json(*arguments)


def is_record(record, *names):
    """A record has these names, in snake_case as all of its names are, and its times are RFC 3339 in UTC."""
    assert set(names) <= set(record), f"{set(names) - set(record)} lack in {record}"
    for name, value in record.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
            assert TIME.fullmatch(value), f"{name}: {value}"
    return record


def without_server(gateway, *arguments):
    """The document of a command while no server runs."""
    assert not gateway.running()
    done = gateway.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
