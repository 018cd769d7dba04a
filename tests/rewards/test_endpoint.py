"""An endpoint is asked over a real connection; whatever it answers ends in scores or a clear error, in bounded time."""

import ipaddress
import json
import shutil
import socket
import subprocess
import threading
import time

import pytest
from rewards.served import reply, serving

from burnish.address import BODY_LIMIT, address_trouble
from burnish.errors import ConfigError, Unreachable
from burnish.rewards.endpoint import Endpoint
from burnish.types import Message


def lengths(handler, question):
    reply(handler, json.dumps({"scores": [len(answer) for answer in question["answers"]]}).encode())


def always(body, status=200, kind="application/json", **headers):
    return lambda handler, _: reply(handler, body, status, kind, **headers)


def ask(url, prompts=("the film", "the plot"), answers=("ab", "c"), **settings):
    return Endpoint(url, **{"retries": 0, "timeout": 5.0, **settings})(prompts, answers)


def test_scores_come_back_in_order_and_in_batches():
    with serving(lengths) as (url, questions):
        assert ask(url, ["p"] * 5, ["a", "ab", "abc", "", "x"], batch_size=2) == [1.0, 2.0, 3.0, 0.0, 1.0]
    assert [len(question["answers"]) for question, _ in questions] == [2, 2, 1]


def test_a_conversation_is_sent_as_its_messages():
    with serving(lengths) as (url, questions):
        ask(url, [(Message("user", "Hi"),)], ["there"])
    assert questions[0][0]["prompts"] == [[{"role": "user", "content": "Hi"}]]


def test_other_peoples_name_for_scores_is_read():
    with serving(always(b'{"rewards": [1, -2.5]}')) as (url, _):
        assert ask(url) == [1.0, -2.5]


def test_the_token_goes_into_the_header_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("SCORER_TOKEN", "canary-1234")
    with serving(always(b"no", 403)) as (url, questions), pytest.raises(Unreachable) as caught:
        ask(f"{url}?key=canary-5678", token_env="SCORER_TOKEN")
    assert questions[0][1]["Authorization"] == "Bearer canary-1234"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "answer, message",
    [
        (always(b"<html><b>Login</b></html>", kind="text/html"), "text/html instead of JSON"),
        (always(b"<html>", kind="application/json"), 'not JSON .*"<html>"'),
        (always(b'{"scores": [0.5, NaN]}'), "NaN is not JSON"),
        (always(b'{"scores": [0.5, null]}'), r'prompt 2 \("the plot"\) is no finite number; found null'),
        (always(b'{"scores": [0.5, "0.5"]}'), r'prompt 2 \("the plot"\) is no finite number; found text'),
        (always(b'{"scores": [true, 1]}'), r'prompt 1 \("the film"\) is no finite number; found true'),
        (always(b'{"scores": [0.5]}'), "2 answers .* need as many scores; found 1"),
        (always(b'{"scores": 3}'), "a list of scores is wanted; found number 3"),
        (always(b'{"score": [1, 2]}'), 'without "scores"'),
        (always(b"[1, 2]"), 'without "scores"'),
        (always(b"[" * 100_000), "not JSON"),
        (always(b'{"scores": [1, 2]}\xff'), "not JSON"),
        (always(b"", 302, Location="http://127.0.0.1:1/"), "302, a redirect"),
        (always(b'{"error": "who are you"}', 401), "401 Unauthorized"),
        (always(b'{"scores": [1, 2]}', kind="text/plain"), "text/plain instead of JSON"),
    ],
)
def test_a_wrong_answer_is_named_and_not_asked_for_again(answer, message):
    with serving(answer) as (url, questions), pytest.raises(Unreachable, match=message) as caught:
        ask(url, retries=3)
    assert str(caught.value).startswith(f'{url}: asked about prompt 1 ("the film")')
    assert len(questions) == 1


def test_the_prompt_is_numbered_among_all_that_were_asked():
    def third_is_bad(handler, question):
        bad = question["prompts"] == ["p3"]
        reply(handler, b'{"scores": ["x"]}' if bad else b'{"scores": [1]}')

    with serving(third_is_bad) as (url, _), pytest.raises(Unreachable, match=r'prompt 3 \("p3"\) is no finite'):
        ask(url, ["p1", "p2", "p3"], ["a", "b", "c"], batch_size=1)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_that_may_pass_is_waited_out(status):
    left, pauses = [status, status], []

    def answer(handler, question):
        if left:
            reply(handler, b"busy", left.pop(), Retry_After="2")
        else:
            lengths(handler, question)

    with serving(answer) as (url, questions):
        assert ask(url, retries=2, pause=pauses.append) == [2.0, 1.0]
    assert len(questions) == 3
    assert pauses == [2.0, 2.0]


def test_waiting_is_bounded():
    pauses = []
    with (
        serving(always(b"busy", 503, Retry_After="86400")) as (url, questions),
        pytest.raises(Unreachable, match=r"503 Service Unavailable .*tried 3 times"),
    ):
        ask(url, retries=2, pause=pauses.append)
    assert len(questions) == 3
    assert pauses == [30.0, 30.0]


@pytest.mark.parametrize("slow", ["silent", "header", "body"])
def test_a_slow_drip_ends_with_the_timeout(slow):
    """A byte every 50 ms keeps every single read alive; the whole exchange has 0.4 s."""
    over = threading.Event()

    def drip(handler, _):
        if slow == "body":
            handler.send_response(200)
            handler.send_header("Content-Type", "application/json")
            handler.end_headers()
        elif slow == "header":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):
            if over.wait(0.05):
                return
            if slow != "silent":
                handler.wfile.write(b" ")
                handler.wfile.flush()

    began = time.monotonic()
    with serving(drip) as (url, _):
        with pytest.raises(Unreachable, match=r"no whole answer within 0\.4 s"):
            ask(url, timeout=0.4)
        over.set()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("told", [True, False])
def test_a_gigabyte_is_not_read(told):
    sent = []

    def flood(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        if told:
            handler.send_header("Content-Length", str(2**30))
        handler.end_headers()
        chunk = b"[" * 2**16
        while sum(sent) < 2**30:
            handler.wfile.write(chunk)
            sent.append(len(chunk))

    with serving(flood) as (url, _), pytest.raises(Unreachable, match=f"more than {BODY_LIMIT} bytes"):
        ask(url)
    assert sum(sent) < 5 * BODY_LIMIT


def test_a_cut_answer_is_not_taken_for_a_whole_one():
    def cut(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"scores": [1, 2]}')

    with serving(cut) as (url, _), pytest.raises(Unreachable, match="cut after 18 of 1000 bytes"):
        ask(url)


def test_nobody_there_is_told_after_the_tries():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match=r"no connection .*tried 2 times"):
        ask(f"http://127.0.0.1:{port}/", retries=1, pause=lambda _: None)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_an_unknown_certificate_is_refused(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*made.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with serving(lengths, (certificate, key)) as (url, _), pytest.raises(Unreachable, match="certificate is not valid"):
        ask(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://2852039166/",
        "http://100.100.100.200/",
    ],
)
@pytest.mark.parametrize("insecure", [True, False])
def test_where_machines_keep_their_credentials_nobody_calls(url, insecure):
    with pytest.raises(Unreachable, match="keep their credentials"):
        ask(url, insecure=insecure)


@pytest.mark.parametrize(
    "address, scheme, refused",
    [
        ("127.0.0.1", "http", False),
        ("::1", "http", False),
        ("8.8.8.8", "https", False),
        ("10.0.0.7", "https", False),
        ("8.8.8.8", "http", True),
        ("10.0.0.7", "http", True),
        ("fd12::7", "https", True),
    ],
)
def test_without_leave_only_https_or_this_machine(address, scheme, refused):
    assert bool(address_trouble(ipaddress.ip_address(address), scheme, insecure=False)) == refused
    assert not address_trouble(ipaddress.ip_address(address), scheme, insecure=True)


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "::", "255.255.255.255"])  # noqa: S104
def test_what_is_no_machine_is_not_called(address):
    assert address_trouble(ipaddress.ip_address(address), "https", insecure=True)


@pytest.mark.parametrize(
    "url, message",
    [
        ("ftp://host/", "begins with http"),
        ("http:///path", "names a host"),
        ("http://[bad", "begins with http"),
        ("http://host:99999/", "begins with http"),
        ("http://host/a b", "no spaces"),
        ("http://host/a\r\nX: y", "no spaces"),
        ("https://me:canary-123@host/", "user name or password"),
    ],
)
def test_an_address_that_is_none_is_refused_at_once(url, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Endpoint(url)
    assert "canary" not in str(caught.value)


def test_a_token_that_is_not_set_is_told_by_its_name(monkeypatch):
    monkeypatch.delenv("SCORER_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="SCORER_TOKEN"):
        Endpoint("https://host/", token_env="SCORER_TOKEN")


def test_who_keeps_an_answers_text_gets_none_that_cannot_be_written():
    with serving(lambda h, _: reply(h, b'{"text": "a\\u0000b"}')) as (url, _):
        with pytest.raises(Unreachable, match="holds a NUL character"):
            Endpoint(url).ask({}, "prompt 1", lambda value: value["text"])
        assert Endpoint(url).put({}, "prompt 1", lambda value: value["text"], any_text=True) == "a\0b"
