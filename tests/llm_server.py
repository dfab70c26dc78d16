"""A small HTTP server that speaks the OpenAI protocol, well or badly."""

import dataclasses
import http.server
import json
import os
import socket
import struct
import threading
import time

from fgclep_jax.enhance.backends.openai import OpenAI

MODEL = "tiny-ecg"
NAME = "QRS duration > 120 ms"
GOOD = json.dumps({"features": [NAME]})


def good(finding, number):
  """A `behave` of Server that answers everything alike."""
  return GOOD


def backend(server, **options):
  """The backend that asks a server, in a hurry."""
  quick = {"timeout": 5.0, "wait": 0.01, "say": lambda line: None}
  return OpenAI(server.url, **(quick | options))


@dataclasses.dataclass(frozen=True)
class Status:
  """An error of HTTP."""

  code: int
  headers: tuple = ()


@dataclasses.dataclass(frozen=True)
class Hang:
  """Silence for some seconds; `drip` sends blanks meanwhile."""

  seconds: float
  drip: bool = False


@dataclasses.dataclass(frozen=True)
class Reset:
  """The connection is torn down."""


@dataclasses.dataclass(frozen=True)
class Body:
  """This body, with a length that may be a lie; -1 names none."""

  content: bytes
  length: int | None = None


class Server:
  """Answers on a free port of 127.0.0.1 while the `with` block runs.

  Args:
    behave: (finding, number of requests about it so far) -> str, the text of
      the model, or one of the classes above.
    enforces: whether schemas are kept to, as far as the probe can tell.
    takes_schema: False gives status 400 to any request with a schema.

  Attributes:
    findings: those asked about, in order of arrival.
    bodies: JSON of every POST, the probe included.
    headers: of every request.
  """

  def __init__(self, behave, enforces=True, takes_schema=True):
    self.behave, self.enforces = behave, enforces
    self.takes_schema = takes_schema
    self.findings, self.bodies, self.headers = [], [], []
    self.models = [{"id": MODEL, "created": time.time(), "owned_by": "test"}]
    self.models_status = 200
    self.lock = threading.Lock()
    self._http = _Quiet(("127.0.0.1", 0), _handler(self))
    self.url = f"http://127.0.0.1:{self._http.server_port}"

  def __enter__(self):
    threading.Thread(
      target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
    ).start()
    return self

  def __exit__(self, *_):
    self._http.shutdown()
    self._http.server_close()

  def answer(self, body):
    """What to do about a POST."""
    with self.lock:
      self.bodies.append(body)
    form = body.get("response_format")
    if form and not self.takes_schema:
      return Status(400)
    message = body["messages"][-1]["content"]
    if "<finding>" not in message:
      words = form["json_schema"]["schema"]["properties"]["word"]["enum"]
      return json.dumps({"word": words[0]}) if self.enforces else "Hello!"
    quoted = message.split("<finding>")[1].split("</finding>")[0]
    finding = json.loads(quoted)["finding"]
    with self.lock:
      number = self.findings.count(finding)
      self.findings.append(finding)
    return self.behave(finding, number)


class _Quiet(http.server.ThreadingHTTPServer):
  block_on_close = False  # a hanging answer must not hold up the test

  def handle_error(self, *_):
    pass  # clients that are killed or give up


def _handler(server):
  class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
      pass

    def do_GET(self):
      server.headers.append(dict(self.headers))
      if self.path != "/v1/models" or server.models_status != 200:
        code = 404 if self.path != "/v1/models" else server.models_status
        return self.send(b"{}", code)
      return self.send(json.dumps({"data": server.models}).encode())

    def do_POST(self):
      server.headers.append(dict(self.headers))
      length = int(self.headers["Content-Length"])
      action = server.answer(json.loads(self.rfile.read(length)))
      if isinstance(action, Status):
        return self.send(b'{"error": "no"}', action.code, action.headers)
      if isinstance(action, Hang):
        return self.hang(action)
      if isinstance(action, Reset):
        return self.reset()
      if isinstance(action, Body):
        return self.send(action.content, length=action.length)
      choice = {"message": {"role": "assistant", "content": action}}
      return self.send(json.dumps({"choices": [choice]}).encode())

    def send(self, content, code=200, headers=(), length=None):
      self.send_response(code)
      for name, value in headers:
        self.send_header(name, value)
      if length != -1:
        self.send_header("Content-Length", str(length or len(content)))
      self.end_headers()
      self.wfile.write(content)

    def hang(self, action):
      end = time.monotonic() + action.seconds
      if action.drip:
        self.send(b"", length=1000)
      while time.monotonic() < end:
        time.sleep(0.02)
        if action.drip:
          self.wfile.write(b" ")

    def reset(self):
      # Closing with a zero linger time sends RST instead of FIN.
      linger = struct.pack("ii", 1, 0)
      self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
      os.close(self.connection.detach())

  return Handler
