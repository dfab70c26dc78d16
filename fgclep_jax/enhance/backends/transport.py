"""One HTTP exchange with a server that is trusted with nothing.

Loopback addresses only, unless one other host is named. No proxies, no
redirects, no name resolution for loopback, a deadline for the whole exchange
and a limit on what is read.
"""

import contextlib
import dataclasses
import email.utils
import http.client
import ipaddress
import json
import math
import re
import socket
import ssl
import threading
import time
import urllib.parse

from fgclep_jax.errors import InputError

MAX_BYTES = 1 << 20  # of one reply
_MAX_PAUSE = 300.0  # seconds that a server may ask for
_KEY = re.compile(r"[\x21-\x7e]+")


class Unanswered(Exception):
  """No usable reply came; the text says why and holds nothing received."""


@dataclasses.dataclass(frozen=True)
class Reply:
  """A reply of the server.

  Attributes:
    status: of HTTP.
    content: the JSON value, None unless the status is 200.
    pause: seconds after which to ask again, as the server wishes, or None.
  """

  status: int
  content: object
  pause: float | None


@dataclasses.dataclass(frozen=True)
class Address:
  """Where a server listens.

  Attributes:
    host: to connect to.
    port: of TCP.
    secure: whether by TLS.
    path: before `/models`, "/v1" unless the URL says otherwise.
    remote: whether it lies outside this machine.
  """

  host: str
  port: int
  secure: bool
  path: str
  remote: bool

  def __str__(self):
    host = f"[{self.host}]" if ":" in self.host else self.host
    return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def address(url, allow_remote=None):
  """Reads the URL of a server; opens and resolves nothing.

  Args:
    url: such as http://127.0.0.1:8000 or http://localhost:11434/v1;
      `localhost` is taken as 127.0.0.1.
    allow_remote: the one host outside this machine that may be asked.

  Raises:
    InputError: no such URL, or a host that is neither loopback nor allowed.
  """
  parts = _parts(url)
  host = parts.hostname
  allowed = allow_remote is not None and host == allow_remote.lower()
  if not _is_loopback(host) and not allowed:
    raise InputError(
      f"{host} is not this machine, and reports must not leave it: start the "
      f"server here, or add `--allow-remote {host}` if your data may go there"
    )
  secure = parts.scheme == "https"
  path = parts.path.rstrip("/")
  if not path.endswith("/v1"):
    path += "/v1"
  return Address(
    "127.0.0.1" if host == "localhost" else host,
    parts.port or (443 if secure else 80),
    secure,
    urllib.parse.quote(path, safe="/%"),
    not _is_loopback(host),
  )


def _parts(url):
  """Returns the parts of a URL that names host, port and path, no more."""
  try:
    parts = urllib.parse.urlsplit(url)
    whole = parts.hostname and parts.port != 0
  except ValueError:
    whole = False
  if not whole or parts.scheme not in ("http", "https"):
    raise InputError("the server's URL must look like http://127.0.0.1:8000")
  if "@" in parts.netloc or parts.query or parts.fragment:
    raise InputError(
      "the server's URL holds more than host, port and path: a key belongs "
      "into the environment variable FGCLEP_LLM_API_KEY"
    )
  return parts


def check_key(key):
  """Raises InputError, which does not show it, for what is no key."""
  if key is not None and not _KEY.fullmatch(key):
    raise InputError(
      "FGCLEP_LLM_API_KEY is empty or holds blanks or control characters: set "
      "it to the key alone, or unset it"
    )


def exchange(where, path, body=None, key=None, timeout=60.0):
  """Sends one request and reads the reply.

  Args:
    where: Address.
    path: after the address's own, such as "/models".
    body: JSON value to POST; None sends a GET.
    key: of the server, or None.
    timeout: seconds for all of it, connecting included.

  Returns:
    Reply.

  Raises:
    Unanswered: nothing listens, the connection broke, the time was up, the
      reply was too long, cut short or no JSON.
  """
  connection = _connection(where, timeout)
  headers = {"Accept": "application/json", "Connection": "close"}
  if key is not None:
    headers["Authorization"] = f"Bearer {key}"
  method, data = "GET", None
  if body is not None:
    method, data = "POST", json.dumps(body).encode()
    headers["Content-Type"] = "application/json"
  with contextlib.closing(connection), _deadline(connection, timeout) as late:
    try:
      connection.request(method, where.path + path, data, headers)
      with contextlib.closing(connection.getresponse()) as response:
        return _reply(response)
    except (
      OSError, http.client.HTTPException, ValueError, Unanswered
    ) as error:  # fmt: skip
      if late.is_set() or isinstance(error, TimeoutError):
        raise Unanswered(f"no reply within {timeout:g} s") from None
      if isinstance(error, Unanswered):
        raise
      # The text of the error may quote the reply: only its kind is told.
      kind = type(error).__name__
      raise Unanswered(f"connection lost ({kind})") from None


def _connection(where, timeout):
  if where.secure:
    return http.client.HTTPSConnection(
      where.host,
      where.port,
      timeout=timeout,
      context=ssl.create_default_context(),
    )
  return http.client.HTTPConnection(where.host, where.port, timeout=timeout)


@contextlib.contextmanager
def _deadline(connection, timeout):
  """Ends the exchange when the time is up, however slowly bytes drip in."""
  start, late = time.monotonic(), threading.Event()
  try:
    connection.connect()
  except ConnectionRefusedError:
    raise Unanswered("nothing listens there") from None
  except OSError as error:
    raise Unanswered(f"cannot connect ({type(error).__name__})") from None
  sock = connection.sock

  def expire():
    late.set()
    with contextlib.suppress(OSError):
      socket.socket.shutdown(sock, socket.SHUT_RDWR)

  timer = threading.Timer(start + timeout - time.monotonic(), expire)
  timer.daemon = True
  timer.start()
  try:
    yield late
  finally:
    timer.cancel()
    timer.join()


def _reply(response):
  pause = _pause(response.getheader("Retry-After"))
  if response.status != 200:
    return Reply(response.status, None, pause)
  content = response.read(MAX_BYTES + 1)
  if len(content) > MAX_BYTES:
    raise Unanswered(f"reply longer than {MAX_BYTES} bytes")
  if response.length:
    raise Unanswered("reply cut short")
  try:
    return Reply(200, json.loads(content), pause)
  except (ValueError, RecursionError):
    raise Unanswered("reply is no JSON") from None


def _pause(value):
  """Seconds of a Retry-After header, which may be a date; None if absent."""
  if value is None:
    return None
  try:
    seconds = float(value)
  except ValueError:
    try:
      date = email.utils.parsedate_to_datetime(value)
      seconds = date.timestamp() - time.time()
    except (ValueError, OverflowError):
      return None
  if math.isnan(seconds):
    return None
  return min(max(seconds, 0.0), _MAX_PAUSE)


def _is_loopback(host):
  if host == "localhost":
    return True
  try:
    found = ipaddress.ip_address(host)
  except ValueError:
    return False
  if found.version == 6:
    return found == ipaddress.IPv6Address("::1")
  return found in ipaddress.IPv4Network("127.0.0.0/8")
