"""Model folders that are not whole, not safe, or not what they are taken for, and chat templates that do harm."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_inputs.kinds import GOOD, Kind
from tiny import byte_tokenizer, tiny_llama
from transformers import LlamaConfig, LlamaForSequenceClassification

Change = Callable[[Path], object]
PAIRS = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'


def model(what: str, change: Change, code: int, *says: str, command: str = "doctor model", **more: Any) -> Kind:
    """A whole model's folder, and what was done to it."""
    return Kind(what, command, code, says, make=lambda place: change(place / "model"), model=True, **more)


def template(what: str, text: str, code: int, *says: str) -> Kind:
    """A chat template that comes with a model; its own rows would do."""

    def put(folder: Path) -> None:
        (folder / "chat_template.jinja").write_text(text)

    command = "sft --model model --data rows.jsonl --out out --set steps=1"
    return model(what, put, code, *says, command=command, files={"rows.jsonl": GOOD})


def without(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def changed(name: str, **values: Any) -> Change:
    """A JSON file of the folder with other values."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def written(name: str, content: str | bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def overlapping(folder: Path) -> None:
    file = folder / "model.safetensors"
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    name = next(name for name, told in header.items() if name != "__metadata__" and told["data_offsets"][0] > 0)
    header[name]["data_offsets"][0] -= 4
    told = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(told)) + told + raw[8 + length :])


def of_200_rows(folder: Path) -> None:
    """An embedding smaller than its tokenizer, as where the two were taken from different models."""
    tiny_llama(vocab_size=200, eos_token_id=0, pad_token_id=0).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)


def of_two_labels(folder: Path) -> None:
    shape = LlamaConfig.from_pretrained(folder)
    shape.num_labels = 2
    LlamaForSequenceClassification(shape).save_pretrained(folder)


def shards(*files: str) -> str:
    return json.dumps({"metadata": {}, "weight_map": dict(enumerate(files))})


INDEX = "model.safetensors.index.json"
SCORE = "score --model model --data pairs.jsonl --out scored.jsonl"
ENDLESS = "{% set r = range(90000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}"

WHOLE = [
    Kind(
        "a model that is not there",
        "doctor runs/sft/model",
        66,
        ("runs/sft/model: no such model directory (looked from ~)",),
    ),
    Kind(
        "a hub id that cannot be reached",
        "doctor nobody/nothing",
        66,
        ("nobody/nothing: ", "hf download nobody/nothing --local-dir"),
    ),
    Kind(
        "a file in place of a model",
        "doctor train.jsonl",
        66,
        ("train.jsonl: a model is a directory with config.json",),
        {"train.jsonl": GOOD},
    ),
    model("no config", without("config.json"), 66, "model: not a model directory: config.json missing; found "),
    model("no tokenizer", without("tokenizer.json"), 66, "tokenizer.json (or tokenizer.model, vocab.json) missing"),
    model("no weights", without("model.safetensors"), 66, "model.safetensors missing; found "),
    model(
        "a shard that is missing",
        written(INDEX, shards("model.safetensors", "model-2.safetensors")),
        66,
        "model: 1 of 2 weight files missing: model-2.safetensors",
    ),
    model(
        "a shard elsewhere",
        written(INDEX, shards("../../elsewhere.safetensors")),
        65,
        f"model/{INDEX}: it names a file outside the model's directory",
    ),
    model("a config that is no JSON", written("config.json", "{"), 65, "model/config.json: not JSON"),
    model(
        "a tokenizer that is damaged",
        written("tokenizer.json", '{"version": "1.0", "model": {"type": "Nonsense"}}'),
        65,
        "model: transformers cannot load it: ",
    ),
    model(
        "an architecture that there is not",
        changed("config.json", model_type="no-such-model"),
        65,
        "model: transformers cannot load it: ",
    ),
]

SAFE = [
    model(
        "a damaged tokenizer where rows are looked at",
        written("tokenizer.json", "{}"),
        66,
        "model: its tokenizer cannot be loaded",
        command="data inspect rows.jsonl --model model",
        files={"rows.jsonl": GOOD},
    ),
    model(
        "weights only as pickle",
        as_pickle,
        78,
        "model: weights only as pickle (pytorch_model.bin), which can run code when loaded",
        "save_pretrained(OUT)",
    ),
    model(
        "a model that wants to run its own code",
        changed("config.json", auto_map={"AutoModelForCausalLM": "evil.Model"}),
        78,
        "model/config.json: `auto_map` asks to run Python code",
        "remove `auto_map`",
    ),
    model(
        "a tokenizer that wants to run its own code",
        changed("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}),
        78,
        "model/tokenizer_config.json: `auto_map` asks to run Python code",
    ),
    model(
        "an adapter in place of a model",
        written("adapter_config.json", "{}"),
        78,
        "model: a LoRA adapter (adapter_config.json), not a model",
        "take the merged `model/` folder",
    ),
    model("safetensors that were cut", cut, 65, "model/model.safetensors: corrupt safetensors: cut or too long"),
    model(
        "a header of 200 MB",
        written("model.safetensors", struct.pack("<Q", 200 << 20) + b"{}"),
        65,
        "corrupt safetensors: its header claims 209715200 bytes",
    ),
    model("tensors that overlap", overlapping, 65, "corrupt safetensors: tensors overlap or leave a gap"),
]

FITTING = [
    model(
        "weights of another shape",
        changed("config.json", intermediate_size=48),
        65,
        "tensors do not have the shapes of config.json",
    ),
    model(
        "a tokenizer larger than the embedding",
        of_200_rows,
        78,
        "the tokenizer has 258 tokens and the embedding 200 rows",
        "resize_embeddings: true",
    ),
    model(
        "a language model as reward model",
        lambda folder: None,
        78,
        "model: not a reward model: its config says LlamaForCausalLM",
        "burnish reward",
        command=SCORE,
        files={"pairs.jsonl": PAIRS},
    ),
    model(
        "a classifier of two labels as reward model",
        of_two_labels,
        78,
        "model: a reward model has one label, this classifier has 2",
        command=SCORE,
        files={"pairs.jsonl": PAIRS},
    ),
    model(
        "a device that there is not",
        lambda folder: None,
        78,
        "device: tpu",
        command="sft --model model --data rows.jsonl --out out --set device=tpu",
        files={"rows.jsonl": GOOD},
    ),
    model(
        "a precision that there is not",
        lambda folder: None,
        78,
        "dtype: int8: unknown; one of auto, float32",
        command="sft --model model --data rows.jsonl --out out --set dtype=int8",
        files={"rows.jsonl": GOOD},
    ),
]

TEMPLATES = [
    template(
        "a template that reaches into Python",
        "{{ ''.__class__ }}",
        78,
        "template chat reaches for what templates may not have",
        "'__class__'",
    ),
    template(
        "a template that is not Jinja",
        "{% for m in messages %}\n{{ m. }}{% endfor %}",
        78,
        "template chat cannot be read as Jinja: line 2",
    ),
    template(
        "a template without end", ENDLESS, 78, "template chat used more than 2 s of processor time", "`template: NAME`"
    ),
    template(
        "a template that prints a gigabyte",
        "{% for a in range(90000) %}{% for b in range(90000) %}{{ 'x' * 1000 }}{% endfor %}{% endfor %}",
        78,
        "template: chat: it takes no conversation",
        "template chat prints too much: more than ",
    ),
]

SECTIONS = {
    "Is the model whole": WHOLE,
    "Is it safe": SAFE,
    "Does it fit": FITTING,
    "Chat templates": TEMPLATES,
}
