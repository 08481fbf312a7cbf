#!/usr/bin/python3
"""Answers with the name of the machine it runs on and its own version."""

import http.server
import os
import socket

NAME = socket.gethostname()
VERSION = os.environ["HELLO_VERSION"]
# This version is broken on purpose: it shows what becomes of one that does not pass its test.
BROKEN = "v3"


class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            healthy = VERSION != BROKEN
            self.answer(200 if healthy else 500, "ok" if healthy else "broken")
        else:
            self.answer(200, f"{NAME} {VERSION}")

    def answer(self, status, text):
        body = (text + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", 8080), Hello).serve_forever()
