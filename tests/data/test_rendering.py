"""A template comes with a model and is somebody else's program: it can print, and nothing else."""

import os
import signal
import time

import pytest

from burnish.data import rendering
from burnish.data.rendering import Printer, RefusedError, Sheet
from burnish.errors import ConfigError

HELLO = ({"role": "user", "content": "Hello"},)


def printed(source, messages=HELLO, *, ask=False):
    (text,) = Printer(source, "it", {}).texts(Sheet(messages, None, ((len(messages), ask),)))
    return text


def test_a_template_prints():
    assert printed("{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}") == "user: Hello"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ messages.append({'role': 'user'}) }}",
        "{{ raise_exception.__globals__ }}",
    ],
)
def test_pythons_insides_are_out_of_reach(source):
    with pytest.raises(ConfigError, match="reaches for what templates may not have"):
        printed(source)


def test_a_syntax_error_is_told_with_its_line():
    with pytest.raises(ConfigError, match="cannot be read as Jinja: line 2"):
        printed("{% for m in messages %}\n{{ m. }}{% endfor %}")


def test_what_the_template_itself_refuses_is_told():
    with pytest.raises(RefusedError, match="refuses this conversation: users only"):
        printed("{{ raise_exception('users only') }}")


def test_a_template_that_fails_on_a_conversation_is_told():
    with pytest.raises(RefusedError, match="fails on this conversation"):
        printed("{{ 1 + messages[0].content }}")


def test_a_loop_without_end_is_stopped():
    endless = "{% set r = range(90000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}"
    start = time.process_time()
    with pytest.raises(ConfigError, match="2 s of processor time"):
        printed(endless)
    assert time.process_time() - start < 2  # the time was the worker's
    assert printed("{{ messages[0].content }}") == "Hello"  # and the next one gets a new worker


def test_a_text_of_a_gigabyte_is_stopped():
    with pytest.raises(RefusedError, match="prints too much"):
        printed("{% for a in range(90000) %}{% for b in range(90000) %}{{ 'x' * 1000 }}{% endfor %}{% endfor %}")


def test_memory_is_bounded():
    with pytest.raises((RefusedError, ConfigError), match=r"too much|memory"):
        printed("{{ ('x' * 9000000000) | length }}")


def test_a_template_cannot_write_or_read_files():
    with pytest.raises((RefusedError, ConfigError)):
        printed("{% include '/etc/passwd' %}")


def test_the_date_stands_still():
    assert printed("{{ strftime_now('%Y-%m-%d') }}") == "2024-07-26"


def test_generation_marks_print_their_inside():
    assert printed("{% generation %}{{ messages[0].content }}{% endgeneration %}") == "Hello"


def test_json_is_not_escaped_for_html():
    assert printed("{{ messages[0] | tojson }}") == '{"role": "user", "content": "Hello"}'


def test_a_worker_that_was_killed_is_replaced():
    assert printed("{{ 1 }}") == "1"
    os.kill(rendering._current[0].process.pid, signal.SIGKILL)
    rendering._current[0].process.wait()
    assert printed("{{ 1 + 1 }}") == "2"


def test_many_conversations_are_printed_in_one_go():
    printer = Printer("{{ messages[0].content }}{{ '?' if add_generation_prompt }}", "it", {})
    sheets = [Sheet(({"content": str(number)},), None, ((1, False), (1, True))) for number in range(50)]
    printer.ahead([*sheets, sheets[0]])
    assert [printer.texts(sheet) for sheet in sheets] == [[str(number), f"{number}?"] for number in range(50)]


def test_only_the_conversation_that_fails_fails():
    printer = Printer("{{ raise_exception('no') if messages[0].content == 'bad' else 'fine' }}", "it", {})
    good, bad = (Sheet(({"content": word},), None, ((1, False),)) for word in ("good", "bad"))
    printer.ahead([good, bad])
    assert printer.texts(good) == ["fine"]
    with pytest.raises(RefusedError):
        printer.texts(bad)
