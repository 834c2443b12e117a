"""Answers every request with the address that it came from."""

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WhoAmI(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((self.client_address[0].removeprefix("::ffff:") + "\n").encode())


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4 with it


Server(("::", 8000), WhoAmI).serve_forever()
