"""A language model behind a server that speaks the OpenAI protocol.

Any of these, started on the same machine, will do:

    vllm serve Qwen/Qwen3-8B --host 127.0.0.1 --port 8000
    llama-server -m model.gguf --host 127.0.0.1 --port 8000 --jinja -np 8
    OLLAMA_HOST=127.0.0.1:8000 ollama serve

Reasoning models answer faster, and within the limit of tokens, without
their reasoning: `extra={"chat_template_kwargs": {"enable_thinking": False}}`
for vLLM and llama.cpp.
"""

import hashlib
import json
import os
import queue
import secrets
import threading

from fgclep_jax.enhance import answers, prompt
from fgclep_jax.enhance.backends import Failure, transport
from fgclep_jax.enhance.backends.client import Client
from fgclep_jax.errors import InputError, Interrupted

KEY = "FGCLEP_LLM_API_KEY"
_SEED = 20
# Of the first answer and of those asked for when it has the wrong form.
_TEMPERATURES = (0.0, 0.3, 0.3)
# What a server says of a model that is the same after a restart.
_IDENTITY = ("id", "root", "parent", "owned_by", "meta")
# How a server says that it does not know `response_format`.
_NO_SCHEMA = ("HTTP 400", "HTTP 422", "HTTP 501")


class OpenAI:
  """Asks a server; see the module for those that work.

  The server is contacted when `model_hash` or `ask` is first used.

  Args of the constructor:
    url: of the server, with or without /v1.
    model: its name there; None takes the only one served.
    allow_remote: host outside this machine that may be asked.
    concurrency: requests at once.
    timeout: seconds for one request.
    attempts: requests for one finding when the server fails.
    wait: seconds before the second attempt; doubles, up to 30 s.
    give_up: failed findings in a row after which the server counts as gone.
    max_tokens: of an answer.
    extra: further fields of a request, for example how to stop reasoning.
    say: prints one line.

  Raises:
    InputError: an address that may not be asked, or an unusable key.
  """

  name = "openai"

  def __init__(
    self, url, model=None, allow_remote=None, *, concurrency=8, timeout=300.0,
    attempts=4, wait=0.5, give_up=5, max_tokens=512, extra=None, say=print,
  ):  # fmt: skip
    self.address = transport.address(url, allow_remote)
    key = os.environ.get(KEY)
    transport.check_key(key)
    self._client = Client(self.address, key, timeout, attempts, wait)
    self.model = model
    self._concurrency, self._give_up = concurrency, give_up
    self._max_tokens, self._extra = max_tokens, dict(extra or {})
    self._say = say
    self._identity = None
    self._structured = True  # whether the server takes `response_format`
    self.enforces = None  # whether it keeps to a schema; known after `start`
    self.prompt_hash = prompt.digest(
      temperatures=_TEMPERATURES, seed=_SEED, max_tokens=max_tokens,
      extra=self._extra,
    )  # fmt: skip

  @property
  def model_hash(self):
    """Hash of what the server tells of its model; it cannot show weights."""
    self.start()
    content = json.dumps(self._identity, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()

  def start(self):
    """Finds the model and tries whether the server keeps to schemas.

    Raises:
      InputError: no such server or model, or the key is refused.
      Interrupted: the server does not answer now.
    """
    if self._identity is not None:
      return
    if self.address.remote:
      secure = "" if self.address.secure else ", unencrypted"
      self._say(f"statements leave this machine to {self.address}{secure}")
    listed = self._first("/models")
    identity = _choose(listed, self.model, self.address)
    self.model = identity["id"]
    self.enforces = self._probe()
    self._identity = identity
    if self.enforces:
      how = "keeps to the schema"
    elif self._structured:
      how = "ignores the schema; answers are checked and asked for again"
    else:
      how = "takes no schema; answers are checked and asked for again"
    self._say(f"{self.address}: model {answers.printable(self.model)}, {how}")

  def ask(self, findings):
    """Yields (finding, answer or Failure) as they arrive.

    Raises:
      InputError, Interrupted: as `start`; Interrupted also when several
        findings in a row failed, after all that arrived was yielded.
    """
    self.start()
    findings = list(findings)
    run = _Run(self._concurrency)
    for finding in findings:
      run.waiting.put(finding)
    for _ in range(min(self._concurrency, len(findings))):
      threading.Thread(target=self._work, args=(run,), daemon=True).start()
    try:
      yield from self._collect(run, len(findings))
    finally:
      run.end(self._concurrency)

  def _collect(self, run, count):
    failed = 0
    for done in range(1, count + 1):
      finding, answer = run.arrived.get()
      if isinstance(answer, BaseException):
        raise answer
      failed = failed + 1 if isinstance(answer, Failure) else 0
      yield finding, answer
      run.free.release()
      if failed == self._give_up:
        late = list(run.rest())
        yield from late
        raise Interrupted(
          f"{self.address} failed {failed} times in a row, last: "
          f"{answer.reason}; {count - done - len(late) + failed} findings are "
          "left: see to the server and run the command again, what was "
          "answered is kept"
        )

  def _work(self, run):
    """Takes findings until there are none; one of several threads."""
    while True:
      run.free.acquire()
      try:
        finding = run.waiting.get_nowait()
      except queue.Empty:
        return
      if run.stop.is_set():
        return
      try:
        answer = self._answer(finding, run.stop)
      except BaseException as error:  # a fault of ours, raised by `ask`
        answer = error
      run.arrived.put((finding, answer))

  def _answer(self, finding, stop):
    """Asks until the answer has the right form, a few times."""
    for turn, temperature in enumerate(_TEMPERATURES):
      body = self._body(prompt.message(finding), answers.schema())
      body |= {"temperature": temperature, "seed": _SEED + turn}
      answer = self._client.text(body, stop)
      if isinstance(answer, Failure) or answers.is_answer(answer):
        break
    return answer

  def _body(self, message, schema):
    body = {
      "model": self.model,
      "messages": [{"role": "user", "content": message}],
      "max_tokens": self._max_tokens,
      "temperature": 0.0,
      "seed": _SEED,
    }
    if self._structured:
      body["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
      }
    return body | self._extra

  def _first(self, path):
    """Returns the JSON of the first request, or says what is wrong."""
    reply = self._client.call(path)
    if isinstance(reply, Failure):
      if reply.reason == "nothing listens there":
        raise InputError(
          f"nothing listens at {self.address}: start the server, or correct "
          "the address"
        )
      raise Interrupted(
        f"{self.address} does not answer now ({reply.reason}): see to the "
        "server and run the command again"
      )
    if reply.status in (401, 403):
      raise InputError(
        f"{self.address} asks for a key or refuses the given one: set {KEY}"
      )
    if reply.status != 200:
      raise InputError(
        f"{self.address}{self.address.path}{path} gives HTTP {reply.status}: "
        "this is no server of the OpenAI protocol, or lies at another path"
      )
    return reply.content

  def _probe(self):
    """True when the server holds its model to a schema.

    Asked for prose under a schema whose only words the question does not
    name: a model that is free to choose cannot hit them.
    """
    word = secrets.token_hex(8)
    schema = {
      "type": "object",
      "properties": {"word": {"type": "string", "enum": [word]}},
      "required": ["word"],
      "additionalProperties": False,
    }
    body = self._body("Say hello in one short sentence.", schema)
    content = self._client.text(body)
    if isinstance(content, Failure):
      self._structured = content.reason not in _NO_SCHEMA
      return False
    try:
      return json.loads(content) == {"word": word}
    except (ValueError, RecursionError):
      return False


class _Run:
  """What the threads of one `ask` share.

  A finding is begun only when its place is free, that is when an earlier
  answer was taken and so kept: a kill costs no more than `size` answers.
  """

  def __init__(self, size):
    self.waiting, self.arrived = queue.SimpleQueue(), queue.SimpleQueue()
    self.free = threading.Semaphore(size)
    self.stop = threading.Event()

  def rest(self):
    """Yields what arrived and was not taken."""
    while not self.arrived.empty():
      finding, answer = self.arrived.get()
      if not isinstance(answer, BaseException):
        yield finding, answer

  def end(self, size):
    """Lets every thread come to its end."""
    self.stop.set()
    self.free.release(size)


def _choose(listed, wanted, where):
  """Returns what the server tells of the wanted model, or of the only one."""
  try:
    known = {
      model["id"]: {name: model.get(name) for name in _IDENTITY}
      for model in listed["data"]
      if isinstance(model["id"], str)
    }
  except (KeyError, TypeError, AttributeError):
    raise InputError(
      f"{where} lists no models: it is no server of the OpenAI protocol"
    ) from None
  names = ", ".join(answers.printable(name) for name in list(known)[:10])
  if wanted is None and len(known) != 1:
    raise InputError(
      f"{where} serves {len(known)} models ({names}): say which one"
    )
  if wanted is not None and wanted not in known:
    raise InputError(f"{where} serves no model {wanted!r}, but: {names}")
  return known[wanted] if wanted is not None else next(iter(known.values()))
