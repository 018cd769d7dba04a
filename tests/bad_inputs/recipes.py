"""Recipes, settings and command lines that cannot be."""

import json
from pathlib import Path
from typing import Any

from bad_inputs.kinds import GOOD, Kind

HEAD = "name: test\nmodel: model\nstages:\n"
SFT = "  sft: {method: sft, model: base, data: data.jsonl}\n"


def workplace(place: Path) -> None:
    """A model's folder with nothing in it but a config, which is all that a recipe's reading looks at."""
    (place / "model").mkdir()
    (place / "model/config.json").write_text("{}")


def recipe(
    what: str, text: str | bytes, *says: str, code: int = 78, command: str = "plan recipe.yaml", **more: Any
) -> Kind:
    files: dict[str, str | bytes] = {"recipe.yaml": text, "data.jsonl": GOOD}
    return Kind(what, command, code, says, files | more.pop("files", {}), make=more.pop("make", workplace), **more)


def of_sft(what: str, keys: str, *says: str, **more: Any) -> Kind:
    """A recipe of one stage with these keys, in line 4."""
    return recipe(what, HEAD + SFT.replace("}", f", {keys}}}"), "recipe.yaml:4: ", *says, **more)


def judged(what: str, by: str, *says: str, command: str = "run recipe.yaml", **more: Any) -> Kind:
    """A recipe whose second stage is judged by `by`, in line 5."""
    text = HEAD + SFT + f"  best: {{method: reject, model: sft, prompts: data.jsonl, by: {by}}}\n"
    return recipe(what, text, "recipe.yaml:5: best.by", *says, command=command, **more)


def huge() -> bytes:
    """The header of a file of 10¹² weights."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 0]}}).encode()
    return len(header).to_bytes(8, "little") + header


BOMB = "".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"]
    + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)]
)

YAML = [
    Kind(
        "a recipe that is not there",
        "run harmles.yaml",
        66,
        ("harmles.yaml: no such recipe (looked from ~)", "did you mean harmless.yaml?"),
        {"harmless.yaml": HEAD + SFT},
    ),
    recipe("an empty recipe", "# nothing\n", "recipe.yaml: empty; a recipe has `name:`, `model:` and `stages:`"),
    recipe("a list in place of keys", "[1]\n", "recipe.yaml:1: expected keys with values"),
    recipe(
        "a tab that indents",
        "name: a\nstages:\n\tsft: 1\n",
        "recipe.yaml:3: a tab indents this line; YAML takes spaces only",
    ),
    recipe("a bracket that is not closed", "name: a\nstages: [1, 2\nmodel: 3\n", "recipe.yaml:3:6: not YAML: "),
    recipe(
        "a key that is given twice",
        HEAD + SFT + "name: again\n",
        "recipe.yaml:5: name: given twice, first in line 1; keep one",
    ),
    recipe(
        "a tag that would make a Python object",
        "name: !!python/object/apply:os.system [ls]\n",
        "recipe.yaml:1: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed",
    ),
    recipe("aliases that grow (a billion laughs)", BOMB, "aliases (`*name`)"),
    recipe(
        "a number that is none",
        HEAD + SFT + "seed: !!int many\n",
        "recipe.yaml:5: many is no int; write a plain value",
    ),
    recipe("a number of 5,000 digits", f"{HEAD}{SFT}seed: {'1' * 5000}\n", "recipe.yaml:5: 111", "is no int"),
    recipe("100,000 brackets", "name: " + "[" * 100_000, "nest"),
    recipe(
        "a key that is no text",
        HEAD + SFT + "no: 1\n",
        "recipe.yaml:5: a key must be text; found false (written no); put it in quotes",
    ),
    recipe("Latin-1", b"name: caf\xe9\n", "recipe.yaml:1: not UTF-8 (byte 0xe9); save the file as UTF-8"),
    recipe("2 MB", "name: a\n" + "# x\n" * 500_000, "2000008 bytes are no recipe; at most 1000000 are read"),
]

KEYS = [
    of_sft("a misspelt key", "learing_rate: 1e-5", "sft.learing_rate: unknown key; did you mean learning_rate?"),
    of_sft("another trainer's name of a key", "lr: 1e-5", "sft.lr: unknown key; here it is called learning_rate"),
    of_sft("a value of another type", "batch_size: many", 'sft.batch_size: must be a valid integer; found text "many"'),
    of_sft("a rate below nothing", "learning_rate: -1e-5", "sft.learning_rate: must be greater than 0; found "),
    of_sft("a rate that is no number", "learning_rate: .nan", "sft.learning_rate: "),
    of_sft("0 epochs", "epochs: 0", "sft.epochs: must be greater than 0; found number 0"),
    of_sft("epochs and steps", "epochs: 1, steps: 5", "sft.steps: epochs and steps are both set; keep one"),
    of_sft("yes for a number", "epochs: yes", "sft.epochs: must be a number; found true"),
    of_sft(
        "a choice that is misspelt",
        "schedule: cosin",
        'sft.schedule: must be cosine, linear or constant; found text "cosin"; did you mean cosine?',
    ),
    of_sft(
        "a group that is a truth value",
        "lora: true",
        "sft.lora: must be a group of keys (rank, alpha, dropout, targets); found true",
    ),
    of_sft("4-bit weights", "load_in_4bit: true", "sft.load_in_4bit: ", "lora: {rank: 16}"),
    of_sft("another attention", "attn_implementation: flash_attention_2", "sft.attn_implementation: ", "leave it out"),
    of_sft(
        "values of each that would make a million stages",
        f"each: {{learning_rate: {list(range(1, 1001))}, seed: {list(range(1000))}}}",
        "sft.each: would make 1000000 stages; at most 1000 are made of one",
    ),
    recipe(
        "four faults at once",
        "name: test\nmodel: model\nsed: 1\nstages:\n"
        "  sft: {method: sft, model: base, data: data.jsonl, learing_rate: 1, epochs: 0}\n"
        "  dpo: {method: dpoo, model: sft, data: data.jsonl}\n",
        "recipe.yaml:3: sed: unknown key; did you mean seed?",
        "recipe.yaml:5: sft.learing_rate: unknown key",
        "recipe.yaml:5: sft.epochs: must be greater than 0",
        'recipe.yaml:6: dpo.method: unknown method text "dpoo"; did you mean dpo?',
    ),
]

STAGES = [
    recipe("no stages", "name: a\nmodel: model\n", "recipe.yaml: must name at least one stage"),
    recipe(
        "a stage without its data",
        HEAD + "  sft: {method: sft, model: base}\n",
        "recipe.yaml:4: sft.data: missing; it takes a file of records",
    ),
    recipe(
        "data that is not there",
        HEAD + SFT.replace("data.jsonl", "dta.jsonl"),
        "recipe.yaml:4: sft.data: dta.jsonl: no such file, and no stage has this name",
        "did you mean data.jsonl?",
        code=66,
    ),
    recipe(
        "a stage that waits for itself",
        HEAD
        + SFT.replace("base", "dpo")
        + SFT.replace("sft: {method: sft, model: base", "dpo: {method: dpo, model: sft"),
        "waits for its own result",
        "break the circle",
    ),
    recipe(
        "a model in place of records",
        HEAD + SFT + "  dpo: {method: dpo, model: sft, data: sft}\n",
        "recipe.yaml:5: dpo.data: sft (sft) gives a model, and this takes records",
    ),
    recipe(
        "a stage named ../up",
        HEAD + SFT.replace("sft:", "../up:"),
        "recipe.yaml:4: ../up: '../up' cannot name a folder",
    ),
    recipe(
        "a stage named con", HEAD + SFT.replace("sft:", "con:"), "recipe.yaml:4: con: con is a device's name on Windows"
    ),
    recipe(
        "a path out of the recipe's folder",
        HEAD + SFT.replace("data.jsonl", f"{'../' * 20}etc/passwd"),
        "recipe.yaml:4: sft.data: ../",
        "etc/passwd leads to /etc/passwd, outside of ~",
        "add `roots: [",
    ),
    recipe(
        "an absolute path elsewhere",
        HEAD + SFT.replace("data.jsonl", "/etc/passwd"),
        "recipe.yaml:4: sft.data: /etc/passwd leads to /etc/passwd, outside of ~",
    ),
    recipe(
        "a link out of the recipe's folder",
        HEAD + SFT.replace("data.jsonl", "link.jsonl"),
        "recipe.yaml:4: sft.data: link.jsonl leads to /etc/hostname",
        make=lambda place: (workplace(place), (place / "link.jsonl").symlink_to("/etc/hostname")),
    ),
    recipe(
        "a path with a NUL",
        HEAD + SFT.replace("data.jsonl", '"a\\0b"'),
        "recipe.yaml:4: sft.data: 'a\\x00b' is no path",
    ),
]

JUDGES = [
    judged("a judge that there is not", "judges:favourable-c", "favourable-a"),
    judged("a stage that there is not", "rewrd", 'text "rewrd" is nobody who judges'),
    judged(
        "a function without leave",
        "lengths:score",
        "lengths:score: would run code from ~ with your rights",
        "--allow-code",
    ),
    judged(
        "a function whose file is not there",
        "lengths:score",
        "lengths:score: no such file lengths.py",
        command="run recipe.yaml --allow-code",
    ),
    judged("a password in an address", "https://me:canary-1234@host/score", "user name or password", "token_env"),
    judged("an address that is none", "http:///score", "names a host"),
    judged(
        "a token that is not set",
        "{by: https://host/score, token_env: NO_SUCH_VARIABLE}",
        "NO_SUCH_VARIABLE; no such variable with a token is set",
    ),
    judged("people beside a judge", "[people, judges:favourable-a]", "people judge alone"),
]

MACHINE = [
    recipe(
        "CUDA where there is none",
        HEAD + SFT.replace("}", ", device: cuda}"),
        "sft.device: cuda, and torch sees no CUDA device; write `device: cpu`",
        command="run recipe.yaml",
    ),
    recipe(
        "bfloat16 on a CPU",
        HEAD + SFT.replace("}", ", dtype: bfloat16, device: cpu}"),
        "sft.dtype: bfloat16 on a CPU is less exact and no faster; write `dtype: float32`",
        command="run recipe.yaml",
    ),
    recipe(
        "a model that memory cannot hold",
        HEAD + SFT,
        "sft: needs about 16000.0 GB of memory",
        "lora: {rank: 16}",
        "--force starts all the same",
        command="run recipe.yaml",
        make=lambda place: (workplace(place), (place / "model/model.safetensors").write_bytes(huge())),
    ),
]


TYPED = [
    Kind(
        "a path of bytes that are no UTF-8",
        "sft --model model --data 'caf\udce9.jsonl' --out out",
        78,
        ("--data: 'caf\\udce9.jsonl' is no path: it has bytes that are not UTF-8",),
        make=workplace,
    ),
    Kind("a command that is misspelt", "sftt", 64, ("Did you mean 'sft'",)),
    Kind("an option that is misspelt", "sft --modl model", 64, ("No such option", "Try: burnish sft --help")),
    Kind("an option that is missing", "sft --model model", 64, ("Missing option '--data'",)),
    Kind("a setting without a value", "plan recipe.yaml --set beta", 64, ("--set beta: expected key=value",)),
    Kind(
        "a setting of 100,000 brackets",
        f"plan recipe.yaml --set a={'[' * 100_000}",
        64,
        ("--set a=[[[", "is not YAML (more than 1000 brackets)"),
    ),
    Kind(
        "a setting that is no date",
        "plan recipe.yaml --set a=2024-13-45",
        64,
        ("--set a=2024-13-45: the value is not YAML",),
    ),
    Kind(
        "a share that is no number",
        "data split data.jsonl --held-out nan --out parts",
        64,
        ("Invalid value for '--held-out': Input should be greater than or equal to 0",),
        {"data.jsonl": GOOD},
    ),
    Kind("a setting that is given twice", "plan recipe.yaml --set seed=1 --seed 2", 64, ("keep one",)),
    recipe(
        "a setting that no stage has",
        HEAD + SFT,
        "--set sft.bta: unknown key",
        command="run recipe.yaml --set sft.bta=1",
    ),
    recipe(
        "a field that cannot be allowed to change",
        HEAD + SFT,
        "--allow-changed sft.learing_rate: no stage has this field; did you mean sft.learning_rate?",
        command="run recipe.yaml --allow-changed sft.learing_rate",
    ),
    recipe(
        "a folder that others made",
        HEAD + SFT,
        "out: has files (thesis.tex) and no lock.json",
        "choose another --out",
        code=73,
        command="run recipe.yaml --out out",
        files={"out/thesis.tex": "mine"},
    ),
    recipe(
        "a file in place of a folder",
        HEAD + SFT,
        "out: ",
        "--out",
        code=73,
        command="run recipe.yaml --out out",
        files={"out": "a file"},
    ),
    Kind("a folder that is no run", "status .", 66, (".",)),
]

SECTIONS = {
    "YAML": YAML,
    "Keys and values": KEYS,
    "Stages and paths": STAGES,
    "Who judges": JUDGES,
    "What the machine cannot do": MACHINE,
    "The command line": TYPED,
}
