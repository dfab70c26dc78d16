"""Requests to a server of the OpenAI protocol, repeated within bounds."""

import dataclasses
import random
import threading

from fgclep_jax.enhance.backends import Failure, transport

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 30.0  # seconds, unless the server asks for more


@dataclasses.dataclass(frozen=True)
class Client:
  """A server and how patiently it is asked.

  Attributes:
    address: transport.Address.
    key: of the server, or None; never shown.
    timeout: seconds for one request.
    attempts: requests before a failure counts.
    wait: seconds before the second attempt; doubles with each.
  """

  address: transport.Address
  key: str | None = dataclasses.field(repr=False)
  timeout: float
  attempts: int
  wait: float

  def call(self, path, body=None, stop=None):
    """Sends a request, again while the server fails in passing.

    Args:
      path: such as "/models".
      body: JSON value to POST; None sends a GET.
      stop: threading.Event that ends the waiting.

    Returns:
      transport.Reply, or a Failure when no attempt brought one.
    """
    stop = stop or threading.Event()
    result, pause = Failure("stopped"), None
    for attempt in range(self.attempts):
      if attempt and stop.wait(self._pause(attempt, pause)):
        break
      try:
        reply = transport.exchange(
          self.address, path, body, self.key, self.timeout
        )
      except transport.Unanswered as error:
        result, pause = Failure(str(error)), None
        continue
      if reply.status not in _PASSING:
        return reply
      result = Failure(f"HTTP {reply.status}, {attempt + 1} times")
      pause = reply.pause
    return result

  def text(self, body, stop=None):
    """Asks for a chat completion; returns its text or a Failure."""
    reply = self.call("/chat/completions", body, stop)
    if isinstance(reply, Failure):
      return reply
    if reply.status != 200:
      return Failure(f"HTTP {reply.status}")
    try:
      content = reply.content["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
      return Failure("a reply of another protocol")
    if not isinstance(content, str):
      return Failure("the model gave no text")
    return content

  def _pause(self, attempt, asked_for):
    """Seconds before an attempt: as the server asks, else ever longer."""
    # Spread out, so that threads do not come back all at once.
    share = random.uniform(0.5, 1.0)
    if asked_for is not None:
      return asked_for + share * self.wait
    return share * min(self.wait * 2 ** (attempt - 1), _LONGEST_WAIT)
