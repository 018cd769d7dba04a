"""Hand a one-time link to this desktop's browser, and to nobody else on this machine.

Every user of a machine can read every command line (`ps`, /proc/PID/cmdline), and whoever follows a one-time link first
has its session. So the browser is started with the path of a file that only its owner can read, and that file sends it
on to the link. Jupyter opens its own page in the same way.
"""

import html
import os
import shutil
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import Self

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={link}">
<title>burnish</title>
<p><a href="{link}">The ranking page</a></p>
</html>
"""


class Handover:
    """At most one link at a time, in a file of a folder of its own, from `open` until it is used, or the block ends.

    `near` is where that folder (mode 0700, the file 0600) is made, and not the system's folder for temporary files: a
    browser that is a snap, as Ubuntu's Firefox is, has a /tmp of its own. What a server that is killed leaves there
    opens nothing once the link was used or has expired.
    """

    def __init__(self, near: Path) -> None:
        self._near = near
        self._folder: Path | None = None
        self._link = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def open(self, link: str) -> bool:
        """Whether a browser was started on `link`: not over SSH, without a display, where there is no browser or no
        room for the file. The link was printed too, so nothing is lost."""
        browser = _desktop_browser()
        if browser is None:
            return False
        self._end()
        try:
            self._folder, self._link = Path(tempfile.mkdtemp(prefix=".page-", dir=self._near)).resolve(), link
            file = self._folder / "open.html"
            with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as opened:
                opened.write(_PAGE.format(link=html.escape(link)))
        except OSError:
            self._end()
            return False
        # not in the server's own thread: some wait until the browser has ended
        threading.Thread(target=browser.open, args=[file.as_uri()], daemon=True).start()
        return True

    def used(self, token: str) -> None:
        """A link with this token has opened its session; if it is the one on its way, the file goes."""
        if self._link.endswith(f"#t={token}"):
            self._end()

    def _end(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)  # a user may have removed it
            self._folder, self._link = None, ""


def _desktop_browser() -> webbrowser.BaseBrowser | None:
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return None
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return None
    if isinstance(browser, webbrowser.GenericBrowser) and not isinstance(browser, webbrowser.BackgroundBrowser):
        return None  # a browser in the terminal would take it away from the server
    return browser
