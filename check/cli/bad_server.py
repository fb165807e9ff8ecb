#!/usr/bin/env python3
"""An HTTP server that misbehaves as asked: GET /MODE/ANYTHING sends FILE in the manner of MODE.

usage: bad_server.py FILE PORT_FILE LOG

Writes its port to PORT_FILE once it listens, and one line to LOG for each request: the path, the Range header, the status. A mode's
first request and its later ones may be answered differently; ANYTHING tells one test's requests from another's.
"""
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FILE, PORT_FILE, LOG = sys.argv[1:4]
DATA = open(FILE, "rb").read()
OTHER = bytes(255 - byte for byte in DATA)
HALF = len(DATA) // 2
ANSWERS = {
    "http09": DATA,
    "banner": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "half-header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "bad-status": b"HTTP/1.1 9999999999 WHAT\r\n\r\n",
    "bad-length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + DATA,
    "bad-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + DATA,
    "bad-encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "bad-redirect": b"HTTP/1.1 302 Found\r\nLocation: http://\x01\x02:99999999/\r\nContent-Length: 0\r\n\r\n",
    "long-line": b"x" * 2000000,
}
seen = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def note(self, status):
        with lock, open(LOG, "a") as log:
            print(self.path, self.headers.get("Range", "-"), status, file=log)

    def begin(self, status, length=None, **headers):
        self.note(status)
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True

    def send(self, data):
        try:
            self.wfile.write(data)
            self.wfile.flush()
            return True
        except OSError:
            return False

    def start_of_range(self):
        """The first byte that is asked for; 0 for all of it."""
        wanted = self.headers.get("Range", "")
        return int(wanted[6:].split("-")[0]) if wanted.startswith("bytes=") else 0

    def proper(self, data=DATA, etag='"one"', keep=None, **headers):
        """As a good server would, but for sending `keep` bytes at most."""
        start = self.start_of_range()
        condition = self.headers.get("If-Range")
        if etag:
            headers["ETag"] = etag
        if start >= len(data):
            self.begin(416, 0, Content_Range=f"bytes */{len(data)}", **headers)
        elif start > 0 and condition in (None, etag):
            self.begin(206, len(data) - start, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}", **headers)
        else:
            start = 0
            self.begin(200, len(data), **headers)
        self.send(data[start : len(data) if keep is None else start + keep])

    def do_GET(self):
        path = self.path[self.path.index("/", 7) :] if self.path.startswith("http://") else self.path  # of a proxy the whole URL is asked
        mode = path.split("/")[1]
        with lock:
            first = path not in seen
            seen[path] = True
        start = self.start_of_range()
        if mode == "good":
            self.proper()
        elif mode == "cut":  # an eighth at a time
            self.proper(keep=len(DATA) // 8)
        elif mode == "cut-once":
            self.proper(keep=HALF if first else None)
        elif mode == "drip":  # a few bytes at a time: no progress worth the name
            self.proper(keep=10)
        elif mode == "bare":  # nothing to resume by, and cut once
            self.proper(etag=None, keep=HALF if first else None)
        elif mode == "short":
            self.begin(200, HALF)
            self.send(DATA[:HALF])
        elif mode == "long":
            self.begin(200, len(DATA) + 1)
            self.send(DATA + b"x")
        elif mode == "lies":  # says the right length, and sends more
            self.begin(200, len(DATA))
            self.send(DATA + DATA)
        elif mode == "no-length":
            self.begin(200)
            self.send(DATA)
        elif mode == "endless":
            self.begin(200)
            while self.send(DATA):
                pass
        elif mode == "other":
            self.proper(data=OTHER)
        elif mode == "ignores":  # ranges, after a cut
            self.begin(200, len(DATA), ETag='"one"')
            self.send(DATA[:HALF] if first else DATA)
        elif mode == "other-range":
            if start == 0:
                self.proper(keep=HALF if first else None)
            else:
                self.begin(206, len(DATA) - start + 1, ETag='"one"', Content_Range=f"bytes {start - 1}-{len(DATA) - 1}/{len(DATA)}")
                self.send(DATA[start - 1 :])
        elif mode == "changed":  # the file behind the URL, after a cut
            self.proper(data=OTHER, etag='"old"', keep=HALF) if first else self.proper(etag='"new"')
        elif mode == "changed-rude":  # and the condition is ignored
            if first:
                self.proper(data=OTHER, etag='"old"', keep=HALF)
            elif start > 0:
                self.begin(206, len(DATA) - start, ETag='"new"', Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
                self.send(DATA[start:])
            else:
                self.proper(etag='"new"')
        elif mode == "changed-silent":  # and there is no validator at all
            self.proper(data=OTHER if first else DATA, etag=None, keep=HALF if first else None)
        elif mode == "refuses-rest":
            if start > 0:
                self.begin(416, 0)
            else:
                self.proper(keep=HALF if first else None)
        elif mode == "busy":  # once
            self.begin(503, 0) if first else self.proper()
        elif mode == "later":
            self.begin(429, 0, Retry_After="1") if first else self.proper()
        elif mode.isdigit():
            self.begin(int(mode), 0)
        elif mode == "page":  # what a hotel's network answers
            page = b"<html>Please log in</html>"
            self.begin(200, len(page))
            self.send(page)
        elif mode == "empty":
            self.begin(200, 0)
        elif mode == "slow":
            self.begin(200, len(DATA), ETag='"one"')
            for i in range(100):
                if not self.send(DATA[i : i + 1]):
                    break
                time.sleep(0.1)
        elif mode == "silent":
            time.sleep(20)
        elif mode == "huge-header":  # more than any client takes
            self.begin(200, len(DATA), X_Long="x" * 200000)
            self.send(DATA)
        elif mode == "many-headers":
            self.begin(200, len(DATA), **{f"X_{i}": "y" * 5000 for i in range(200)})
            self.send(DATA)
        elif mode in ANSWERS:  # no HTTP, or nearly
            self.note(200)
            self.send(ANSWERS[mode])
            self.close_connection = True
        elif mode == "endless-100":
            self.note(100)
            while self.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000):
                pass
        elif mode == "loop":
            self.begin(302, 0, Location=self.path)
        elif mode == "moved":
            self.begin(301, 0, Location=path.replace("/moved/", "/good/"))
        elif mode == "to-file":
            self.begin(302, 0, Location="file://" + os.path.abspath(FILE))
        else:
            self.begin(404, 0)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
with open(PORT_FILE + ".new", "w") as file:
    print(server.server_port, file=file)
os.rename(PORT_FILE + ".new", PORT_FILE)
server.serve_forever()
