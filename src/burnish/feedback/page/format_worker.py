"""The process in which Markdown is formatted: a text that was made to be slow keeps this one busy and not the server.

Reads one JSON request a line, {"text", "seconds"}, and writes one tree a line. It stands back for all else on the
machine, and ends itself once a text has used `seconds` of processor time.
"""

import json
import os
import signal
import sys

from burnish.feedback.page.shown import markdown


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(10)
    timer = getattr(signal, "setitimer", None)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if timer:  # processor time, not the clock: a busy machine must not refuse an honest text
            timer(signal.ITIMER_VIRTUAL, request["seconds"])  # its signal ends this process
        tree = markdown(request["text"])
        if timer:
            timer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.write(json.dumps(tree) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
