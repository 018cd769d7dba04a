"""A run folder as a recipe leaves it, with made-up figures: what the report reads, and nothing that must be trained."""

import json
import math
import random
from hashlib import sha256
from importlib import resources

from burnish.feedback.records import Given, Item
from burnish.feedback.store import Store
from burnish.types import Answer, Group

MODELS = ("sft", "best", "dpo", "ppo")
VERDICTS = {
    "sft": (0.5, 0.496, 0.504, 0.0, 0.0, -1.62, -3.31, 0.71, 1.0, 17.8, 0.98, 41.2),
    "best": (0.726, 0.687, 0.762, 1.32, 0.04, -0.81, -3.17, 0.68, 1.0, 17.1, 0.99, 41.4),
    "dpo": (0.792, 0.757, 0.824, 4.87, 0.11, -0.43, -3.79, 0.57, 0.99, 20.4, 0.93, 44.0),
    "ppo": (0.846, 0.814, 0.874, 5.41, 0.12, -0.31, -3.02, 0.55, 0.98, 14.9, 0.99, 43.1),
}
FIELDS = (
    *("win_rate", "win_rate_low", "win_rate_high", "kl", "kl_se", "judge_mean", "fluency"),
    *("distinct_2", "unique_answers", "answer_length", "ended", "perplexity"),
)
CONTROLLED = {
    "sft": (0.5, 0.496, 0.504, -0.62, -0.71, -0.53),
    "best": (0.731, 0.684, 0.774, 0.05, -0.04, 0.14),
    "dpo": (0.741, 0.692, 0.788, 0.21, 0.12, 0.30),
    "ppo": (0.858, 0.816, 0.891, 0.36, 0.26, 0.46),
}
BESIDE = (
    *("win_rate_controlled", "win_rate_controlled_low", "win_rate_controlled_high"),
    *("strength", "strength_low", "strength_high"),
)
RECIPE = """name: demo
model: ../base
seed: 1
stages:
  sft:     {method: sft,      model: base, data: sft.jsonl, epochs: 2, learning_rate: 1e-3}
  answers: {method: generate, model: sft,  prompts: prompts.jsonl, samples: 4}
  ranking: {method: rank,     answers: answers, by: judges:favourable-a}
  reward:  {method: reward,   model: sft,  data: ranking}
  best:    {method: reject,   model: sft,  by: reward, prompts: prompts.jsonl}
  dpo:     {method: dpo,      model: sft,  data: ranking, beta: 0.1}
  ppo:     {method: ppo,      model: sft,  by: reward, prompts: prompts.jsonl, beta: 0.3}
  compare: {method: evaluate, models: [sft, best, dpo, ppo], by: judges:favourable-b, prompts: heldout.jsonl}
"""
STAGES = {
    "sft": ("sft", {"model": "/b/assets/base", "data": ["/b/assets/demo/sft.jsonl"]}),
    "answers": ("generate", {"model": "sft", "prompts": ["/b/assets/demo/prompts.jsonl"]}),
    "ranking": ("rank", {"answers": ["answers"], "by": "judges:favourable-a"}),
    "reward": ("reward", {"model": "sft", "data": ["ranking"]}),
    "best": ("reject", {"model": "sft", "prompts": ["/b/assets/demo/prompts.jsonl"], "by": "reward"}),
    "dpo": ("dpo", {"model": "sft", "data": ["ranking"]}),
    "ppo": ("ppo", {"model": "sft", "prompts": ["/b/assets/demo/prompts.jsonl"], "by": "reward"}),
    "compare": (
        "evaluate",
        {
            "models": {name: name for name in MODELS},
            "prompts": ["/b/assets/demo/heldout.jsonl"],
            "by": "judges:favourable-b",
            "base": "/b/assets/base",
        },
    ),
}
FIGURES = {
    "sft": {"loss": 3.412, "grad_norm": 0.9},
    "answers": {"answers": 5412.0, "ended": 0.981},
    "ranking": {"rankings": 1353.0, "with_ties": 2.0},
    "reward": {
        "loss": 0.581,
        "accuracy": 0.72,
        "heldout_accuracy": 0.683,
        "heldout_pairs": 810.0,
        "heldout_prompts": 135.0,
    },
    "best": {"loss": 2.95, "score_mean": 0.11, "score_kept": 1.04, "prompts": 1353.0},
    "dpo": {"loss": 0.44, "accuracy": 0.81, "margin": 0.92},
    "ppo": {"reward": 1.21, "kl_k1": 5.2, "entropy": 2.61, "value_loss": 0.31},
    "compare": {
        name: dict(zip(FIELDS + BESIDE, values + CONTROLLED[name], strict=True)) for name, values in VERDICTS.items()
    },
}
SECONDS = {
    "sft": 41.2,
    "answers": 18.4,
    "ranking": 2.1,
    "reward": 33.0,
    "best": 52.7,
    "dpo": 38.9,
    "ppo": 71.5,
    "compare": 24.6,
}
ENDS = {
    "sft": [
        "film that never quite finds its feet, but it has a certain charm.",
        "story of a young man who loses his job and his wife.",
    ],
    "best": [
        "film that is both funny and moving, with a fine cast.",
        "story told with warmth, wit and a good deal of style.",
    ],
    "dpo": [
        "film that is a warm, warm and moving and touching, and moving portrait",
        "wonderful, funny and deeply felt story of a family.",
    ],
    "ppo": ["warm and very funny film.", "moving, beautifully acted story of love and loss."],
}


def curve(steps, begin, end, noise, seed):
    draw = random.Random(seed)
    return [end + (begin - end) * math.exp(-4 * i / steps) + draw.gauss(0, noise) for i in range(steps)]


def metrics(name):
    """Lines as the loop writes them: a mapping of figures to how they go, for each method that trains."""
    made = {
        "sft": (240, {"loss": (4.6, 3.4, 0.12), "grad_norm": (2.1, 0.9, 0.15)}),
        "reward": (
            76,
            {
                "loss": (0.69, 0.56, 0.03),
                "accuracy": (0.5, 0.73, 0.05),
                "margin": (0, 0.9, 0.1),
                "grad_norm": (3, 1.5, 0.3),
            },
        ),
        "dpo": (
            120,
            {
                "loss": (0.69, 0.45, 0.03),
                "accuracy": (0.5, 0.82, 0.05),
                "margin": (0, 1.0, 0.08),
                "logp_chosen": (-58, -61, 1.5),
                "logp_rejected": (-58, -70, 1.5),
                "gain_chosen": (0, -3.1, 0),
                "gain_rejected": (0, -9.4, 0),
            },
        ),
        "ppo": (
            30,
            {
                "reward": (0, 1.25, 0.05),
                "kl_k1": (0, 5.3, 0.2),
                "entropy": (3.2, 2.6, 0.03),
                "clip_fraction": (0.02, 0.11, 0.01),
                "value_loss": (0.9, 0.3, 0.04),
                "answer_length": (17.8, 15, 0.4),
            },
        ),
        "best": (60, {"loss": (3.3, 2.95, 0.08)}),
    }
    if name not in made:
        return ""
    steps, figures = made[name]
    columns = {key: curve(steps, *how, seed=f"{name} {key}") for key, how in figures.items()}
    pace = {"tokens": 600, "seconds": 0.2, "peak_gb": 1.25}
    rows = [{"step": i + 1, **{key: values[i] for key, values in columns.items()}, **pace} for i in range(steps)]
    return "".join(json.dumps(row) + "\n" for row in rows)


RELIABILITY = [
    {"low": 0.5, "high": 0.6, "sure": 0.55, "right": 0.52, "right_low": 0.45, "right_high": 0.6, "pairs": 190},
    {"low": 0.6, "high": 0.7, "sure": 0.65, "right": 0.66, "right_low": 0.58, "right_high": 0.73, "pairs": 140},
    {"low": 0.7, "high": 0.8, "sure": 0.74, "right": 0.71, "right_low": 0.6, "right_high": 0.81, "pairs": 60},
]
BEST_OF_N = [
    {
        "n": n,
        "kl": math.log(n) - (n - 1) / n,
        "win_rate": rate,
        "win_rate_low": rate - 0.03,
        "win_rate_high": rate + 0.03,
    }
    for n, rate in ((1, 0.5), (2, 0.6), (4, 0.68), (8, 0.75), (16, 0.8))
]
EVALUATIONS = (0, 10, 20, 30, 40)


def write_more(folder):
    """What a run may also leave: calibration, best of n, a policy's held-out evaluations, three aims."""
    (folder / "reward/evaluation.json").write_text(json.dumps({"reliability": RELIABILITY}))
    lines(folder / "compare/best_of_n.jsonl", BEST_OF_N)
    rows, samples = evaluations()
    lines(folder / "ppo/metrics.jsonl", rows)
    lines(folder / "ppo/samples.jsonl", samples)
    summary = json.loads((folder / "summary.json").read_text())
    for figures in summary["compare"].values():
        figures |= {"told_apart": 0.71, "told_apart_low": 0.66, "told_apart_high": 0.76}
        figures |= {"safe": 0.9, "safe_low": 0.87, "safe_high": 0.93}
    (folder / "summary.json").write_text(json.dumps(summary))


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluations():
    """Metrics and answers of five held-out evaluations, in the last two of which reward and judge are apart."""
    rows, samples = [], []
    for n, step in enumerate(EVALUATIONS):
        told = {
            "heldout_reward": 0.3 * n,
            "heldout_kl": 0.9 * n,
            "heldout_kl_se": 0.1 * (n > 0),
            "heldout_prompts": 64.0,
        }
        rows.append({"step": step, **told, "heldout_judge": (1, 2, 2, 1, 0)[n], "heldout_parted": float(n > 2)})
        samples += [
            {"prompt": f"prompt {p}", "answers": [f"said {p} at {step} <b>"], "finished": [True], "scores": [0.5]}
            | {"step": step, "judge": -1.25}
            for p in range(10)
        ]
    return rows, samples


def openings():
    text = resources.files("burnish").joinpath("assets/demo/heldout.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["prompt"] for line in text.splitlines()][:500]


def samples():
    draw = random.Random(0)
    rows = []
    for name in MODELS:
        for number, prompt in enumerate(openings()):
            row = {
                "prompt": prompt,
                "answers": [f" {draw.choice(ENDS[name])}"],
                "finished": [not (name == "dpo" and number % 3 == 0)],
            }
            rows.append(
                {"id": str(number), **row, "scores": [draw.gauss(VERDICTS[name][5], 1)], "model": name, "seed": 0}
            )
    return "".join(json.dumps(row) + "\n" for row in rows)


def described(value):
    """Inputs as inputs.json keeps them: names with the hash of what they held."""
    if isinstance(value, dict):
        return {key: described(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [described(inner) for inner in value]
    if value.startswith("judges:"):
        return value
    return {"path" if "/" in value else "stage": value, "sha256": sha256(value.encode()).hexdigest()}


def write_run(folder, curves=True):
    """The folder of a finished run of the demo's recipe, with or without what each step wrote."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    versions = {"python": "3.11.9", "burnish": "0.1.0", "torch": "2.13.0", "transformers": "5.24.0", "numpy": "2.3.4"}
    locked = {
        name: {
            "method": method,
            "inputs": inputs,
            "settings": {"seed": 1, "sampling": {"temperature": 1.0}},
            "given": {},
        }
        for name, (method, inputs) in STAGES.items()
    }
    lock = {"name": "demo", "recipe": "/b/burnish/assets/demo/recipe.yaml", "set": {"seed": 1}, "versions": versions}
    (folder / "lock.json").write_text(json.dumps(lock | {"threads": 2, "stages": locked, "history": []}))
    (folder / "summary.json").write_text(json.dumps(FIGURES))
    for minute, name in enumerate(STAGES):
        (folder / name).mkdir()
        done = {
            "finished": f"2026-11-24T17:{minute:02d}:09+00:00",
            "seconds": SECONDS[name],
            "figures": FIGURES[name],
            "outputs": {},
        }
        (folder / name / "DONE.json").write_text(json.dumps(done))
        method, inputs = STAGES[name]
        begun = {"stage": name, "method": method, "settings": {}, "inputs": described(inputs)}
        (folder / name / "inputs.json").write_text(json.dumps(begun))
        inner = folder / name / "rounds/1" if name == "best" else folder / name
        inner.mkdir(parents=True, exist_ok=True)
        if curves and (lines := metrics(name)):
            (inner / "metrics.jsonl").write_text(lines)
    (folder / "compare/samples.jsonl").write_text(samples())
    return folder


VOTES = {"i": "112", "j": "111", "k": "220", "l": "222"}
"""item → verdicts of three people: the first better, the second, a tie."""
ORDERS = {"1": ((0,), (1,)), "2": ((1,), (0,)), "0": ((0, 1),)}


def voted_on(name):
    return Group(f"prompt {name}", (Answer("short"), Answer("rather longer")), id=name)


def write_votes(folder, people=3):
    """A store in the stage `ranking` with the verdicts of the first `people`."""
    with Store.create(folder / "ranking/rankings.db") as store:
        store.add_items(Item(voted_on(name)) for name in VOTES)
        store.add_rankings(
            Given(name, ORDERS[vote], annotator=f"person {who}", seconds=7.0)
            for name, given in VOTES.items()
            for who, vote in enumerate(given[:people])
        )
    return folder
