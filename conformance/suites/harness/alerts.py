"""Somebody who is told of alerts, and what they were told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        listener = self.server.listener
        status = 503 if listener.busy else 204
        listener.busy = max(0, listener.busy - 1)
        if status == 204:
            listener.told.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response_only(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Listener:
    """One address for alerts."""

    def __init__(self):
        self.told, self.busy = [], 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.listener = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/geheim"

    def start(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def kill(self):
        self.server.shutdown()
        self.server.server_close()

    def states(self):
        """Before and after of every change that was told."""
        return [(told["before"], told["state"]) for _, _, told in self.told]
