"""A page that counts its views in Redis."""

import os

import flask
import redis

app = flask.Flask(__name__)
store = redis.Redis(host=os.environ["REDIS_HOST"], socket_connect_timeout=2, socket_timeout=2)


@app.get("/")
def index():
    views = store.incr("views")
    return f"This page has been viewed {views} time{'s' if views > 1 else ''}.\n", {"Content-Type": "text/plain"}


@app.get("/healthy")
def healthy():
    """For the health check: answers without counting."""
    return "yes\n", {"Content-Type": "text/plain"}


@app.get("/client")
def client():
    """Who is asking, as this side of the published port sees it."""
    return flask.request.remote_addr + "\n", {"Content-Type": "text/plain"}


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
