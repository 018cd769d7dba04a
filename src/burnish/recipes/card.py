"""A model's card: README.md beside its weights, with the front matter that the hub reads.

It says what the folders of a run say and nothing else; what they do not say is called unknown. Text from a run is
escaped, so that no name or setting can open a tag, a link or a line of front matter, and secrets are masked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from burnish.data.problems import printable
from burnish.data.secrets import masked
from burnish.evaluation.sentence import told
from burnish.recipes.lineage import Input, Lineage, Step, Verdict, command

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-!|~>$])")
_VERDICT = (
    ("win_rate", "win rate"),
    ("win_rate_controlled", "win rate at equal length"),
    ("told_apart", "told apart from people's answers"),
    ("safe", "safe"),
    ("refused_harmful", "harmful requests refused"),
    ("refused_safe", "harmless prompts refused"),
    ("kl", "KL to the first, nats an answer"),
    ("judge_mean", "mean score by the judge"),
    ("fluency", "fluency, nats a token"),
    ("distinct_2", "distinct pairs of words"),
    ("unique_answers", "answers that are unique"),
    ("answer_length", "tokens an answer"),
    ("ended", "answers that end"),
    ("perplexity", "perplexity of held-out text"),
)


@dataclass(frozen=True)
class Subject:
    """What the card is of. `kind`: policy or scorer; `files`: its weights' files by name and sha256; `config`: its
    config.json; `ends` and `template`: how an answer ends and a prompt is written; `notes`: what is to be known."""

    name: str
    kind: str
    format: str
    dtype: str
    parameters: int
    config: Mapping[str, Any]
    files: Mapping[str, str]
    template: str = ""
    ends: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    merged: str = ""


def card(subject: Subject, known: Lineage) -> str:
    """The text of README.md. The same model and run give the same text."""
    parts = [
        _what(subject, known),
        _use(subject),
        *([_load(subject)] if subject.format == "hf" else [_load_gguf(subject)]),
        *([_scores(subject)] if subject.kind == "scorer" else []),
        _chain(known),
        *(_verdict(verdict, known) for verdict in known.verdicts),
        _figures(known),
        _again(known),
        _files(subject),
    ]
    return _front(subject, known) + "\n" + "\n".join(part for part in parts if part)


# ---- text from elsewhere


def md(text: object) -> str:
    """`text` on one line, in which nothing is Markdown or HTML."""
    shown = printable(str(masked(str(text))), 300)
    return _MARKDOWN.sub(r"\\\1", shown.replace("&", "&amp;").replace("<", "&lt;"))


def fenced(text: str, kind: str = "") -> str:
    """`text` as a block of code that nothing in it can end."""
    text = str(masked(text))  # before it is escaped: a secret is known by its shape
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = "\n".join(printable(line, 2000) for line in text.replace("\t", "    ").splitlines())
    return f"{fence}{kind}\n{lines}\n{fence}\n"


def _number(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, int | float):
        return md(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


# ---- the parts


def _front(subject: Subject, known: Lineage) -> str:
    base, licence = known.base, known.licence
    methods = list(dict.fromkeys(step.method for step in known.steps if step.method not in ("generate", "rank")))
    told: dict[str, Any] = {
        **({"base_model": printable(base.name)} if base is not None and base.hub else {}),
        **({"license": printable(licence, 60)} if licence else {}),
        "library_name": "transformers" if subject.format == "hf" else "gguf",
        "pipeline_tag": "text-generation" if subject.kind == "policy" else "text-classification",
        "tags": ["burnish", *map(printable, methods), *(["reward-model"] if subject.kind == "scorer" else [])],
    }
    return f"---\n{yaml.safe_dump(masked(told), sort_keys=False, allow_unicode=True)}---\n"


def _what(subject: Subject, known: Lineage) -> str:
    kind = "language model" if subject.kind == "policy" else "reward model: it scores answers, and writes none"
    shape = f"{(subject.config.get('architectures') or ['an unknown architecture'])[0]}"
    lines = [
        f"# {md(subject.name)}\n",
        f"A {kind}. {_size(subject.parameters)} weights, {md(shape)}, stored as {md(subject.dtype)}.\n",
    ]
    if known.stage is None:
        copied = f"A copy of {_of(known.base)}. " if known.base is not None else ""
        lines.append(f"{copied}How it was trained is unknown to burnish, which did not train it.\n")
    else:
        models = " → ".join(md(f"{step.name} ({step.method})") for step in _models(known))
        lines.append(f"Trained with burnish: {_of(known.base)} → {models}.\n")
    licence = f"that of its base, {md(known.licence)}" if known.licence else "unknown"
    lines.append(
        f"Licence: {licence}. That of the data it learned from is unknown to this card: see to both before you pass it "
        "on.\n"
    )
    if subject.merged:
        lines.append(f"A LoRA adapter was merged into its base for this copy: {md(subject.merged)}.\n")
    return "\n".join(lines)


def _models(known: Lineage) -> Iterator[Step]:
    """The stages whose weights this model went through, first to last."""
    by_name = {step.name: step for step in known.steps}
    step, chain = known.stage, []
    while step is not None and step not in chain:
        chain.append(step)
        source = next((one for one in step.inputs if one.key == "model" and one.stage), None)
        step = by_name.get(source.name) if source else None
    yield from reversed(chain)


def _of(base: Input | None) -> str:
    if base is None:
        return "a model that is not known any more"
    if base.hub:
        return md(base.name) + (f" at commit {md(base.revision[:12])}" if base.revision else ", at an unknown commit")
    return md(base.name) + (f" (sha256 {base.sha256[:12]})" if base.sha256 else "")


def _size(parameters: int) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million")):
        if parameters >= unit:
            return f"{parameters / unit:.3g} {name}"
    return f"{parameters:,}"


def _use(subject: Subject) -> str:
    length = subject.config.get("max_position_embeddings") or subject.config.get("n_positions")
    lines = ["## Use and limits\n"]
    if subject.kind == "scorer":
        lines.append(
            "- Made to put answers to prompts like its training data in order. What people would say of other prompts "
            "it does not know; a policy that climbs its score for long finds what it overrates."
        )
    else:
        lines.append(
            "- Made to answer prompts like those of the data below. What it says may be wrong or harmful, and nothing "
            "was tested but what stands below; languages and subjects were not."
        )
    if length:
        lines.append(f"- Prompt and answer together: at most {_number(length)} tokens.")
    if subject.template:
        lines.append(f"- Its prompts were written by the template {md(subject.template)}.")
    if subject.ends:
        lines.append(f"- An answer ends with {md(' or '.join(subject.ends))}; generation has to stop there.")
    lines += [f"- {md(note)}." for note in subject.notes]
    return "\n".join(lines) + "\n"


def _load(subject: Subject) -> str:
    if subject.kind == "scorer":
        code = (
            "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
            'tokenizer = AutoTokenizer.from_pretrained("PATH")\n'
            'model = AutoModelForSequenceClassification.from_pretrained("PATH")\n'
            'output = model(**tokenizer(text, return_tensors="pt")).logits[0, 0]\n'
            'score = output - getattr(model.config, "score_mean", 0)'
        )
    elif subject.template == "none":
        code = (
            "from transformers import pipeline\n\n"
            'answer = pipeline("text-generation", "PATH")("…", max_new_tokens=64, return_full_text=False)'
        )
    else:
        code = (
            "from transformers import pipeline\n\n"
            'messages = [{"role": "user", "content": "…"}]\n'
            'answer = pipeline("text-generation", "PATH")(messages, max_new_tokens=256)'
        )
    return f"## How to load it\n\n{fenced(code, 'python')}"


def _load_gguf(subject: Subject) -> str:
    file = next(iter(subject.files), "model.gguf")
    chat = "" if subject.template in ("", "none") else " --jinja"
    return f"## How to load it\n\n{fenced(f'llama-cli -m {file}{chat}', 'sh')}"


def _scores(subject: Subject) -> str:
    mean, deviation = subject.config.get("score_mean"), subject.config.get("score_deviation")
    if mean is None and deviation is None:
        said = "It was not normalised: scores have no fixed zero and no unit; only gaps on one prompt mean anything."
    else:
        said = (
            f"`score_mean` {_number(float(mean or 0.0))}, `score_deviation` {_number(float(deviation or 1.0))}. The "
            "score is the output less `score_mean`; answers to one prompt then lie about one apart, a deviation. A gap "
            "of two scores times `score_deviation` is the log-odds that the higher one is preferred."
        )
    return (
        f"## How to read a score\n\n{said} It is read at the answer's end-of-turn token, or at its last token where it "
        "was cut. Scores of different prompts do not compare.\n"
    )


def _chain(known: Lineage) -> str:
    if not known.steps:
        return ""
    rows = [
        f"| {md(step.name)} | {md(step.method)} | {'<br>'.join(_input(one) for one in step.inputs) or 'unknown'} | "
        f"{'<br>'.join(_settings(step)) or 'defaults'} |"
        for step in known.steps
    ]
    return (
        "## How it was made\n\n| stage | method | made from | settings that are not defaults |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _settings(step: Step) -> Iterator[str]:
    yield from (f"{md(key)}: {_number(value)}" for key, value in step.settings.items())
    for key, value in step.allowed.items():
        yield f"changed after it began (--allow-changed): {md(key)}: {_number(value)}"


def _input(one: Input) -> str:
    size = f", {one.lines:,} rows" if one.lines is not None else ""
    digest = one.sha256[:12] or one.revision[:12]
    return f"{md(one.key)}: {md(one.name)}{size}" + (f" ({md(digest)})" if digest else "")


def _verdict(verdict: Verdict, known: Lineage) -> str:
    own = known.stage.name if known.stage is not None else ""
    first = next(iter(verdict.models))
    figures: Any = verdict.models
    said = told(figures).get(own, {})
    judge = f", judged by {md(verdict.judge)}" if verdict.judge else ""
    lines = [f"## Verdict of {md(verdict.stage)}\n"]
    if any(one.get("win_rate") is not None for one in verdict.models.values()):
        lines.append(f"On held-out prompts, beside {md(first)}{judge}.\n")
    form = {"sentence": "**{}.**\n", "warning": "Warning: {}.\n"}
    lines += [form[key].format(md(text)) for key, text in said.items()]
    shown = list(dict.fromkeys([first, own]))
    rows = [
        f"| {title} | " + " | ".join(_verdict_cell(verdict.models[model], key) for model in shown) + " |"
        for key, title in _VERDICT
        if any(verdict.models[model].get(key) is not None for model in shown)
    ]
    head = f"| | {' | '.join(md(model) for model in shown)} |\n|---|{'---:|' * len(shown)}"
    return "\n".join([*lines, head, *rows]) + "\n"


def _verdict_cell(figures: Mapping[str, Any], key: str) -> str:
    value = figures.get(key)
    if not isinstance(value, int | float):
        return "unknown"
    low, high, error = figures.get(f"{key}_low"), figures.get(f"{key}_high"), figures.get(f"{key}_se")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return f"{value:.3f} ({low:.3f} to {high:.3f})"
    return f"{value:.4g}" + (f" ± {error:.2g}" if isinstance(error, int | float) else "")


def _figures(known: Lineage) -> str:
    stage = known.stage
    rows = [
        f"| {md(key)} | {_number(value)} |"
        for key, value in (stage.figures.items() if stage is not None else ())
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if not rows:
        return ""
    return "## Figures at the end of training\n\n| figure | value |\n|---|---:|\n" + "\n".join(rows) + "\n"


def _again(known: Lineage) -> str:
    if known.stage is None:
        return ""
    versions = ", ".join(f"{md(name)} {md(version)}" for name, version in known.stage.versions.items())
    threads = f", {known.run.threads} threads" if known.run is not None and known.run.threads else ""
    text = f"## How to make it again\n\n{fenced(command(known), 'sh')}\nWith {versions or 'unknown'}{threads}.\n"
    if known.run is not None and known.run.recipe:
        text += f"\nThe recipe:\n\n{fenced(known.run.recipe, 'yaml')}"
    return text


def _files(subject: Subject) -> str:
    rows: Sequence[str] = [f"| {md(name)} | {digest} |" for name, digest in subject.files.items()]
    return "## Weights\n\n| file | sha256 |\n|---|---|\n" + "\n".join(rows) + "\n"
