"""An application as teams write them: a health path, and a stream of ten events that says when each was sent."""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class App(BaseHTTPRequestHandler):
    """Answers `/health`, and `/events` as an event stream."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            body = os.environ.get("MODE", "").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for number in range(1, 11):
            event = {"seq": number, "ts": time.time()}
            self.wfile.write(f"id: {number}\ndata: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.2)
        self.wfile.write(b"event: complete\ndata: {}\n\n")


if __name__ == "__main__":
    print("listening", flush=True)
    ThreadingHTTPServer(("0.0.0.0", 8000), App).serve_forever()
