"""Answers every request with the address that it came from."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WhoAmI(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((self.client_address[0] + "\n").encode())


ThreadingHTTPServer(("0.0.0.0", 8000), WhoAmI).serve_forever()
