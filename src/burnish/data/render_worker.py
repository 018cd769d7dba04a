"""The process in which chat templates run: a template comes with a model, so it is somebody else's program.

Reads one JSON request a line and writes one JSON reply a line. It is started as a script, imports Jinja and nothing of
ours, and lives until its input ends. Jinja's immutable sandbox keeps a template from Python's internals; the limits
below keep it from the machine: processor time a request, memory, size of the text, no files written, no children.
They stop accidents and bombs. Whoever breaks out of Jinja's sandbox itself runs with the user's rights.
"""

import datetime
import json
import signal
import sys

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 2.0
MEMORY = 2 << 30
TEMPLATE_DATE = datetime.datetime(2024, 7, 26)


class Generation(Extension):
    """`{% generation %}` marks what a model wrote, for trainers that need it. Here it prints its body and no more."""

    tags = {"generation"}  # noqa: RUF012  Jinja's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Refused(jinja2.TemplateError):
    """The template itself said no, by `raise_exception`."""


class TooMuch(jinja2.TemplateError):
    """The text grew past its limit."""


def raise_exception(message: str) -> None:
    raise Refused(message)


def strftime_now(form: str) -> str:
    """The date that a template prints. It stands still: else a resumed run would see other prompts than the first."""
    return TEMPLATE_DATE.strftime(form)


def tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As transformers has it: Jinja's own filter would escape `<` and `&`."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = strftime_now
    return made


def render(template: jinja2.Template, values: dict[str, object], limit: int) -> str:
    """The rendered text, given up at `limit` characters."""
    pieces = []
    size = 0
    for piece in template.generate(**values):
        size += len(piece)
        if size > limit:
            raise TooMuch(f"more than {limit:,} characters")
        pieces.append(piece)
    return "".join(pieces)


def reply(request: dict[str, object], compiled: dict[str, jinja2.Template]) -> dict[str, str]:
    """Either {"text"} or {"problem": refused|syntax|security|size|failed, "message"}."""
    key = str(request["key"])
    try:
        if key not in compiled:
            compiled[key] = environment().from_string(str(request["template"]))
        values = request["values"]
        limit = request["limit"]
        if not isinstance(values, dict) or not isinstance(limit, int):
            raise TypeError("a request has values and a limit")
        return {"text": render(compiled[key], values, limit)}
    except Refused as error:
        return {"problem": "refused", "message": str(error)}
    except TooMuch as error:
        return {"problem": "size", "message": str(error)}
    except MemoryError:
        return {"problem": "size", "message": f"more than {MEMORY >> 20} MB of memory"}
    except jinja2.exceptions.SecurityError as error:
        return {"problem": "security", "message": str(error)}
    except jinja2.TemplateSyntaxError as error:
        return {"problem": "syntax", "message": f"line {error.lineno}: {error.message}"}
    except (
        jinja2.TemplateError,
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        return {"problem": "failed", "message": f"{type(error).__name__}: {error}"[:1000]}


def confine() -> None:
    """Give away what a template never needs. Where there are no such limits (Windows), the caller's clock stays."""
    try:
        import resource
    except ImportError:
        return
    for kind, value in (("RLIMIT_AS", MEMORY), ("RLIMIT_FSIZE", 0), ("RLIMIT_NPROC", 0), ("RLIMIT_CORE", 0)):
        number = getattr(resource, kind, None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(number, (wanted, hard))
            except (OSError, ValueError):  # macOS refuses some of them
                continue


def main() -> None:
    confine()
    timer = getattr(signal, "setitimer", None)
    compiled: dict[str, jinja2.Template] = {}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if timer:  # processor time, not the clock: a busy machine must not refuse an honest template
            timer(signal.ITIMER_VIRTUAL, SECONDS)  # its signal ends this process, and the caller says why
        answer = json.dumps(reply(request, compiled))
        if timer:
            timer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
