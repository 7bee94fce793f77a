"""Google's batch: one request of many parts, each with an answer of its own (batchPath of the discovery document)."""

import email.message
import email.parser
import email.policy
import re
import secrets

from .google_rules import DISCOVERY

PATH = "/" + DISCOVERY["batchPath"]
# The documents name 50 and 1,000.
MOST = 50


def answer(headers, body, serve):
    """The answer to a batch; `serve` is asked for each part, and a part that fails concerns no other."""
    try:
        parts = read(headers, body)
    except ValueError as why:
        return 400, {"content-type": "text/plain"}, str(why).encode()
    answers = []
    for name, method, target, inner, content in parts:
        if "authorization" not in inner and "authorization" in headers:
            inner["authorization"] = headers["authorization"]
        answers.append((name, *serve(method, target, inner, content)))
    # The order isn't guaranteed, so it is another one.
    return written(answers[::-1])


def read(headers, body):
    """The parts as (content id, method, target, headers, body)."""
    kind = headers.get("content-type") or ""
    outer = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    if outer.get_content_type() != "multipart/mixed" or not outer.is_multipart():
        raise ValueError("a batch is multipart/mixed")
    parts = outer.get_payload()
    if len(parts) > MOST:
        raise ValueError(f"a batch has at most {MOST} parts")
    return [part_of(part) for part in parts]


def part_of(part):
    if part.get_content_type() != "application/http":
        raise ValueError("a part is application/http")
    text = part.get_payload(decode=True) or str(part.get_payload()).encode()
    line, _, rest = text.lstrip().replace(b"\r\n", b"\n").partition(b"\n")
    found = re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/calendar/v3/\S+)( HTTP/1\.1)?", line.decode().strip())
    if not found:
        raise ValueError("a part begins with a request line of this API, without a host")
    head, _, content = rest.partition(b"\n\n")
    inner = email.parser.BytesParser(_class=email.message.Message).parsebytes(head + b"\n\n")
    return part["content-id"], found[1], found[2], inner, content.strip()


def written(answers):
    boundary = "batch_" + secrets.token_hex(12)
    body = b""
    for name, status, headers, content in answers:
        body += f"--{boundary}\r\nContent-Type: application/http\r\n".encode()
        if name:
            body += f"Content-ID: {name.replace('<', '<response-', 1)}\r\n".encode()
        body += f"\r\nHTTP/1.1 {status} -\r\n".encode()
        body += b"".join(f"{one}: {value}\r\n".encode() for one, value in headers.items())
        body += f"Content-Length: {len(content)}\r\n\r\n".encode() + content + b"\r\n"
    return 200, {"content-type": f"multipart/mixed; boundary={boundary}"}, body + f"--{boundary}--\r\n".encode()
