"""Formatting a hostile text costs the server's process nothing, and ends."""

import threading
import time

from burnish.feedback.page.formatting import MOST_WAITING, formatted
from burnish.feedback.page.shown import LONGEST_FORMATTED, markdown

SLOW = "*a " * (LONGEST_FORMATTED // 3)
HONEST = "A *b* <script>\n\n- d\n- ٣"


def test_a_text_comes_back_as_markdown_makes_it():
    assert formatted(HONEST) == markdown(HONEST)
    assert formatted("a" * (LONGEST_FORMATTED + 1)) is None


def test_a_text_that_takes_too_long_is_shown_plain_and_the_next_one_is_formatted():
    assert formatted(SLOW, seconds=0.02) is None
    assert formatted(HONEST) == markdown(HONEST)


def test_a_slow_text_takes_no_time_of_this_process():
    formatted(HONEST)
    began = time.process_time()
    markdown(SLOW)
    here = time.process_time() - began
    began = time.process_time()
    assert formatted(SLOW) is not None
    assert time.process_time() - began < here / 4


def test_those_who_would_wait_in_too_long_a_row_are_sent_back_at_once():
    formatted(HONEST)
    found = []
    threads = [threading.Thread(target=lambda: found.append(formatted(SLOW))) for _ in range(3 * MOST_WAITING)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [tree for tree in found if tree is None]
    assert len(refused) >= MOST_WAITING
    assert len(found) == 3 * MOST_WAITING
    assert formatted(HONEST) == markdown(HONEST)
