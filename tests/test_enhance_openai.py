"""The backend `openai` against a server that behaves and one that does not."""

import datetime
import email.utils
import json
import socket
import threading
import time

import pytest

from fgclep_jax.enhance.backends import Failure, transport
from fgclep_jax.enhance.backends.openai import OpenAI
from fgclep_jax.errors import InputError, Interrupted
from tests.llm_server import (
  GOOD,
  NAME,
  Body,
  Hang,
  Reset,
  Server,
  Status,
  backend,
  good,
)

FINDINGS = [f"finding {i}" for i in range(12)]


def ask(behave, findings=FINDINGS, enforces=True, **options):
  """{finding: answer} and the server that gave them."""
  with Server(behave, enforces) as server:
    return dict(backend(server, **options).ask(findings)), server


def test_every_finding_is_asked_once_and_answered():
  answers, server = ask(good)
  assert answers == dict.fromkeys(FINDINGS, GOOD)
  assert sorted(server.findings) == sorted(FINDINGS)


def test_requests_are_as_the_protocol_wants(monkeypatch):
  monkeypatch.delenv("FGCLEP_LLM_API_KEY", raising=False)
  answers, server = ask(good, ["lbbb"], extra={"top_k": 1}, max_tokens=99)
  assert answers == {"lbbb": GOOD}
  body = server.bodies[-1]
  assert body["model"] == "tiny-ecg"
  assert (body["temperature"], body["max_tokens"]) == (0, 99)
  assert isinstance(body["seed"], int)
  assert body["top_k"] == 1
  form = body["response_format"]
  assert form["type"] == "json_schema"
  assert form["json_schema"]["strict"] is True
  items = form["json_schema"]["schema"]["properties"]["features"]["items"]
  assert NAME in items["enum"]
  assert not any("Authorization" in headers for headers in server.headers)


def test_no_more_requests_at_once_than_told():
  lock, now, most = threading.Lock(), [0], [0]

  def behave(finding, number):
    with lock:
      now[0] += 1
      most[0] = max(most[0], now[0])
    time.sleep(0.03)
    with lock:
      now[0] -= 1
    return GOOD

  ask(behave, concurrency=3)
  assert 2 <= most[0] <= 3


def test_no_more_answers_wait_than_a_kill_may_cost():
  with Server(good) as server:
    asked = backend(server, concurrency=2).ask(FINDINGS)
    for taken in range(1, 4):
      next(asked)
      time.sleep(0.2)
      assert len(server.findings) <= taken + 1
    asked.close()


RIGHT = json.dumps({"choices": [{"message": {"content": GOOD}}]}).encode()
FAULTS = {
  "error 500": Status(500),
  "busy": Status(429, (("Retry-After", "0"),)),
  "reset": Reset(),
  "truncated": Body(RIGHT[:20], length=len(RIGHT)),
  "cut off": Body(RIGHT, length=len(RIGHT) + 50),
  "empty": Body(b""),
  "no json": Body(b"<html>Bad gateway</html>"),
  "nested": Body(b"[" * 200_000),
  "huge": Body(RIGHT + b" " * transport.MAX_BYTES),
  "endless": Body(RIGHT + b" " * transport.MAX_BYTES, length=-1),
  "hang": Hang(3),
  "drip": Hang(3, drip=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_is_passed_over(fault):
  def behave(finding, number):
    return GOOD if number else FAULTS[fault]

  timeout = 0.6 if "Hang" in repr(FAULTS[fault]) else 5
  answers, server = ask(behave, FINDINGS[:3], timeout=timeout)
  assert answers == dict.fromkeys(FINDINGS[:3], GOOD)
  assert len(server.findings) == 6


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lasting_fault_is_a_failure_of_its_finding(fault):
  def behave(finding, number):
    return FAULTS[fault] if finding == FINDINGS[1] else GOOD

  start = time.monotonic()
  timeout = 0.6 if "Hang" in repr(FAULTS[fault]) else 5
  answers, server = ask(behave, FINDINGS[:3], timeout=timeout, attempts=2)
  assert isinstance(answers.pop(FINDINGS[1]), Failure)
  assert answers == {FINDINGS[0]: GOOD, FINDINGS[2]: GOOD}
  assert server.findings.count(FINDINGS[1]) == 2  # and no more
  assert time.monotonic() - start < 2.9


@pytest.mark.parametrize(
  "content",
  [
    b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}',
    b'{"choices": [{"message": {"content": null}}]}', b'{"choices": "x"}',
    b'{"choices": [{"message": {"content": ["a"]}}]}', b"3",
  ],
)  # fmt: skip
def test_replies_of_another_protocol(content):
  answers, _ = ask(lambda finding, number: Body(content), FINDINGS[:1])
  assert isinstance(answers[FINDINGS[0]], Failure)


def test_a_redirect_is_not_followed():
  with Server(good) as other:
    moved = Status(307, (("Location", f"{other.url}/v1/chat/completions"),))
    answers, _ = ask(lambda finding, number: moved, FINDINGS[:1])
  assert answers[FINDINGS[0]] == Failure("HTTP 307")
  assert other.headers == []


def test_retry_after_is_waited_for():
  def behave(finding, number):
    return GOOD if number else Status(429, (("Retry-After", "0.6"),))

  start = time.monotonic()
  answers, _ = ask(behave, FINDINGS[:1])
  assert answers == {FINDINGS[0]: GOOD}
  assert 0.6 <= time.monotonic() - start < 2


def test_retry_after_may_be_a_date_and_is_bounded():
  now = datetime.datetime.now(datetime.UTC)
  date = email.utils.format_datetime(now + datetime.timedelta(seconds=90))
  assert 80 < transport._pause(date) <= 90
  assert transport._pause("1e9") == transport._pause("inf") == 300
  assert transport._pause("-5") == 0
  for odd in (None, "", "soon", "nan", "Mon, 99 Foo"):
    assert transport._pause(odd) is None


def test_an_answer_of_the_wrong_form_is_asked_for_again():
  answers, server = ask(lambda f, n: GOOD if n == 2 else "Well...", ["lbbb"])
  assert answers == {"lbbb": GOOD}
  sent = [(b["seed"], b["temperature"]) for b in server.bodies[1:]]
  assert len(set(sent)) == 3  # the same question would get the same answer
  answers, server = ask(lambda f, n: "Well...", ["lbbb"])
  assert answers == {"lbbb": "Well..."}  # for `answers.parse` to refuse
  assert len(server.findings) == 3


@pytest.mark.parametrize("enforces", [True, False])
def test_probe_tells_whether_schemas_are_kept_to(enforces):
  said = []
  with Server(good, enforces) as server:
    model = backend(server, say=said.append)
    model.start()
  assert model.enforces is enforces
  assert ("ignores the schema" in said[-1]) is not enforces


def test_a_server_without_schemas_is_asked_without():
  with Server(good, takes_schema=False) as server:
    model = backend(server)
    assert dict(model.ask(["lbbb"])) == {"lbbb": GOOD}
  assert model.enforces is False
  assert "response_format" not in server.bodies[-1]


def test_nothing_is_sent_before_it_is_needed():
  with Server(good) as server:
    model = backend(server)
    assert len(model.prompt_hash) == 64
    assert server.headers == []
    first = model.model_hash
    server.models[0] |= {"created": 1}
    assert backend(server).model_hash == first  # a restart changes nothing
    server.models[0] |= {"root": "other-weights"}
    assert backend(server).model_hash != first


def test_models_are_chosen_by_name():
  with Server(good) as server:
    server.models.append({"id": "other"})
    with pytest.raises(InputError, match="serves 2 models"):
      backend(server).start()
    with pytest.raises(InputError, match="serves no model 'x'"):
      backend(server, model="x").start()
    model = backend(server, model="other")
    model.start()
    assert server.bodies[-1]["model"] == "other"
    server.models = None
    with pytest.raises(InputError, match="lists no models"):
      backend(server).start()


@pytest.mark.parametrize(
  ("status", "error", "message"),
  [
    (401, InputError, "FGCLEP_LLM_API_KEY"),
    (404, InputError, "HTTP 404"),
    (302, InputError, "HTTP 302"),
    (503, Interrupted, "does not answer now"),
  ],
)
def test_start_says_what_is_wrong(status, error, message):
  with Server(good) as server:
    server.models_status = status
    with pytest.raises(error, match=message):
      backend(server).start()


def test_nothing_listens():
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(InputError, match="nothing listens at"):
      OpenAI(url, wait=0.01).start()


def test_circuit_breaker_stops_and_yields_what_arrived():
  down = threading.Event()
  count = []

  def behave(finding, number):
    count.append(finding)
    if len(count) > 5:
      down.set()
    return Status(500) if down.is_set() else GOOD

  findings = [f"finding {i}" for i in range(200)]
  got = []
  with Server(behave) as server:
    asked = backend(server, attempts=2, give_up=3, concurrency=2).ask(findings)
    with pytest.raises(Interrupted, match="3 times in a row, last: HTTP 500"):
      got.extend(asked)
  assert sum(answer == GOOD for _, answer in got) == 5
  assert len(server.findings) < 30  # it did not go through all of them


def test_single_failures_do_not_stop_the_run():
  def behave(finding, number):
    return Status(500) if int(finding.split()[1]) % 2 else GOOD

  answers, _ = ask(behave, concurrency=1, attempts=1, give_up=2)
  assert sum(answer == GOOD for answer in answers.values()) == 6
