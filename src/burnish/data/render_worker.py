"""The process in which chat templates run: a template comes with a model, so it is somebody else's program.

Reads one JSON request a line (conversations, and which beginnings of them to print) and writes one JSON reply a
line. It is started as a script, imports Jinja and nothing of
ours, and lives until its input ends. Jinja's immutable sandbox keeps a template from Python's internals; the limits
below keep it from the machine: processor time a request, memory, size of the text, no files written, no children.
They stop accidents and bombs. Whoever breaks out of Jinja's sandbox itself runs with the user's rights.
"""

import datetime
import json
import signal
import sys
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

SECONDS = 2.0
MEMORY = 2 << 30
LONGEST_MESSAGE = 1000
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


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's own prints nothing where a template reaches too far; an attempt must be an error."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> jinja2.Undefined:
        raise jinja2.exceptions.SecurityError(f"{attribute!r} of a {type(obj).__name__}")


def environment() -> Sandbox:
    made = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
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


def compiled(request: dict[str, Any], known: dict[str, jinja2.Template]) -> jinja2.Template:
    """The request's template; its text is sent only once."""
    key = request["key"]
    if key not in known:
        known[key] = environment().from_string(request["template"])
    return known[key]


def answer(request: dict[str, Any], sheet: dict[str, Any], job: Any, known: dict[str, Any]) -> dict[str, str]:
    """One job, (how many messages, whether to ask for an answer), of one conversation.

    Either {"text"} or {"problem": refused|syntax|security|size|failed, "message"}.
    """
    try:
        values = {
            **request["named"],
            "messages": sheet["messages"][: job[0]],
            "tools": sheet["tools"],
            "documents": None,
            "add_generation_prompt": job[1],
        }
        return {"text": render(compiled(request, known), values, sheet["limit"])}
    except Refused as error:
        return problem("refused", error)
    except TooMuch as error:
        return problem("size", error)
    except MemoryError:
        return problem("size", f"more than {MEMORY >> 20} MB of memory")
    except jinja2.exceptions.SecurityError as error:
        return problem("security", error)
    except jinja2.TemplateSyntaxError as error:
        return problem("syntax", f"line {error.lineno}: {error.message}")
    except SyntaxError as error:  # of the Python that Jinja makes of it: blocks that are nested too deep
        return problem("syntax", error)
    except Exception as error:  # a template is a program, and may raise whatever Python can
        return problem("failed", f"{type(error).__name__}: {error}")


def problem(kind: str, message: object) -> dict[str, str]:
    """What is told of a template's failure. The message may be the template's own, as long as it likes."""
    return {"problem": kind, "message": str(message)[:LONGEST_MESSAGE]}


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
    known: dict[str, jinja2.Template] = {}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answers = []
        for sheet, job in ((one, job) for one in request["sheets"] for job in one["jobs"]):
            if timer:  # processor time, not the clock: a busy machine must not refuse an honest template
                timer(signal.ITIMER_VIRTUAL, SECONDS)  # its signal ends this process, and the caller says why
            answers.append(answer(request, sheet, job, known))
        if timer:
            timer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
