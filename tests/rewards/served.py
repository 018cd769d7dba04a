"""A small real http server that answers as a test says, and keeps what it was asked."""

import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # a connection that finds the queue full waits a second and more

    def handle_error(self, request, client_address):
        """A client that hangs up is what several tests are about."""


@contextmanager
def serving(answer, certificate=None):
    """A loopback server that calls `answer(handler, question)`; gives its address and the questions that came."""
    questions = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            questions.append((question, dict(self.headers)))
            answer(self, question)

        def log_message(self, *_):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_port}/score", questions
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler, body, status=200, kind="application/json", **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def chat_reply(handler, text, top=None, **choice):
    """The answer of a "chat/completions": a text, and with `top` what is known of its one token."""
    told = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]} if top else None
    reply(handler, json.dumps({"choices": [{"message": {"content": text}, "logprobs": told, **choice}]}).encode())


def parrot(handler: Any, question: dict[str, Any]) -> None:
    """Says the last turn and the seed, and is cut where it may say less than that."""
    if handler.path.endswith("/chat/completions"):
        said = f"{question['messages'][-1]['content']} ({question['seed']})"
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": said}}
    else:
        choice = {"text": f"{question['prompt']} goes on ({question['seed']})"}
    choice["finish_reason"] = "length" if question["max_tokens"] < 8 else "stop"
    body = {"choices": [choice], "usage": {"completion_tokens": 5}}
    reply(handler, json.dumps(body).encode())


def root(address: str) -> str:
    return address.removesuffix("/score")
