"""Reports stay on this machine, and keys stay secret."""

import json
import socket

import pytest

from fgclep_jax.enhance import candidates
from fgclep_jax.enhance.backends import transport
from fgclep_jax.enhance.backends.openai import OpenAI
from fgclep_jax.enhance.cache import Cache
from fgclep_jax.errors import InputError
from tests.llm_server import GOOD, Server, Status, backend, good

REMOTE = [
  "http://192.168.0.7:8000", "http://10.0.0.1", "http://llm.example.org/v1",
  "https://api.openai.com/v1", "http://0.0.0.0:8000", "http://[::]:8000",
  "http://[::ffff:127.0.0.1]:8000", "http://127.0.0.1.example.org",
  "http://localhost.example.org", "http://127.1:8000", "http://2130706433",
  "http://0x7f000001/", "http://128.0.0.1", "http://[fe80::1]",
]  # fmt: skip
NO_URL = [
  "", "localhost:8000", "ftp://127.0.0.1", "file:///etc/passwd", "http://",
  "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://[::1",
  "http://user:canary@127.0.0.1", "http://127.0.0.1/v1?key=canary",
  "http://example.org@127.0.0.1", "http://127.0.0.1#canary",
]  # fmt: skip


@pytest.mark.parametrize("url", REMOTE + NO_URL)
def test_addresses_are_refused_before_any_socket(url, monkeypatch):
  def opened(*arguments, **options):
    raise AssertionError("a socket was opened or a name resolved")

  for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
    monkeypatch.setattr(socket, name, opened)
  with pytest.raises(InputError) as error:
    OpenAI(url)
  assert "canary" not in str(error.value)
  if url in REMOTE:
    assert "--allow-remote" in str(error.value)
    with pytest.raises(InputError, match="allow-remote"):
      OpenAI(url, allow_remote="another.host")


def test_loopback_and_the_allowed_host():
  for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]"):
    where = transport.address(f"http://{host}:8000/v1/")
    assert not where.remote
    assert (where.port, where.path) == (8000, "/v1")
  assert transport.address("http://localhost").host == "127.0.0.1"
  assert str(transport.address("http://[::1]:11")) == "http://[::1]:11"
  where = transport.address("https://LLM.example.org/x", "llm.Example.org")
  assert where.remote
  assert where.secure
  assert (where.port, where.path) == (443, "/x/v1")


def test_loopback_needs_no_resolver_and_no_proxy(monkeypatch):
  for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
    monkeypatch.setenv(name, "http://127.0.0.1:1")
  hosts = []
  real = socket.getaddrinfo

  def resolve(host, *arguments, **options):
    hosts.append(host)
    return real(host, *arguments, **options)

  with Server(good) as server:
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = server.url.replace("127.0.0.1", "localhost")
    model = OpenAI(url, wait=0.01, say=lambda line: None)
    assert dict(model.ask(["lbbb"])) == {"lbbb": GOOD}
  assert set(hosts) == {"127.0.0.1"}


def test_the_key_is_sent_and_never_shown(monkeypatch, capsys):
  monkeypatch.setenv("FGCLEP_LLM_API_KEY", "canary-key")
  with Server(lambda f, n: Status(401)) as server:
    model = OpenAI(server.url, wait=0.01)
    found = dict(model.ask(["lbbb"]))
    shown = f"{found} {vars(model)} {model.prompt_hash} {model.model_hash}"
  assert {h["Authorization"] for h in server.headers} == {"Bearer canary-key"}
  printed = capsys.readouterr()
  assert "canary" not in shown + printed.out + printed.err
  for bad in ("canary\nX: y", "canary key", ""):
    monkeypatch.setenv("FGCLEP_LLM_API_KEY", bad)
    with pytest.raises(InputError, match="FGCLEP_LLM_API_KEY") as error:
      OpenAI(server.url)
    assert "canary" not in str(error.value)


def test_only_findings_leave_the_process(tmp_path):
  statement = "Left bundle branch block seen 12/03/2014 by Dr. Canary 10023456"
  with Server(good) as server, Cache(tmp_path / "cache") as cache:
    candidates.propose([statement], backend(server), cache)
  sent = json.dumps([server.bodies, server.headers]).lower()
  kept = (tmp_path / "cache").read_text().lower()
  for secret in ("canary", "2014", "10023456"):
    assert secret not in sent
    assert secret not in kept
