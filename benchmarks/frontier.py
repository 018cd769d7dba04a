"""How much reward each method gets for the KL that it pays, beside best of n and the best policy there is.

    python benchmarks/frontier.py SEED [SEED …]      # trains what is not there yet, under runs/frontier
    python benchmarks/frontier.py SEED --only ppo-0.3 grpo-0.1
    python benchmarks/frontier.py --tell PICTURE     # the tables of all seeds that are there, and a picture

On the demo's model and data. For each seed: the demo's recipe as far as its reward model, and from the same rankings
DPO at each β of BETAS and rejection sampling, two rounds of eight answers; DRAWS answers of the SFT model to each of
the first PROMPTS held-out prompts, from which come best of n and the best policy at a price, π_SFT·exp(R/β)/Z
(src/burnish/evaluation/best_of_n.py); and the runs of RUNS, each measured on those same prompts as it goes. What RUNS
and rejection sampling climb is the reward model's score less 1 for an answer without an end; judge B, which nothing
climbs, scores too. Last, `evaluate` holds the final models to the SFT model on all held-out prompts, as the demo's
verdict does.
"""

import argparse
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from burnish.data.convert import write
from burnish.data.read import read
from burnish.evaluation.best_of_n import Floats, best_of_n, kept_chance, kl_bound, tilted
from burnish.methods.evaluate import EvaluateConfig, evaluate
from burnish.methods.generate import GenerateConfig, generate
from burnish.methods.grpo import GRPOConfig, grpo
from burnish.methods.on_policy_settings import OnPolicyConfig
from burnish.methods.online_dpo import OnlineDPOConfig, online_dpo
from burnish.methods.ppo import Critic, PPOConfig, ppo
from burnish.methods.rloo import RLOOConfig, rloo
from burnish.methods.score import ScoreConfig
from burnish.methods.scoring import score_groups
from burnish.recipes.load import load
from burnish.recipes.run import run
from burnish.rollout.settings import Sampling

ROOT = Path(__file__).parent.parent
RUNS_AT = ROOT / "runs" / "frontier"
ASSETS = Path(str(files("burnish") / "assets"))
PROMPTS, DRAWS, FINE, CUT = 128, 256, 8, 1.0
JUDGE = "judges:favourable-b"
READ: dict[str, Any] = {"template": "none", "max_length": 96}
LONGEST = Sampling(max_new_tokens=48)
LEAST_EFFECTIVE = 50
BETAS = (0.05, 0.1, 0.15, 0.2, 0.4)

ONCE: dict[str, Any] = {
    **READ,
    "sampling": LONGEST,
    "steps": 80,
    "batch_size": 32,
    "samples": 4,
    "inner_epochs": 1,
    "minibatches": 2,
    "learning_rate": 2e-4,
    "schedule": "linear",
    "evaluate_every": 8,
    "evaluate_prompts": PROMPTS,
}


@dataclass(frozen=True)
class Run:
    method: Callable[..., Any]
    config: type[OnPolicyConfig]
    settings: dict[str, Any]

    def train(self, seed: int, start: Path, out: Path) -> None:
        self.method(
            start / "sft" / "model",
            ASSETS / "demo" / "prompts.jsonl",
            self.config(**{**ONCE, **self.settings, "seed": seed}),
            by=start / "reward" / "model",
            judge=JUDGE,
            evaluate_on=ASSETS / "demo" / "heldout.jsonl",
            out=out,
        )


CRITIC = Critic(learning_rate=6e-4)
RUNS = {
    **{
        f"ppo-{beta:g}": Run(ppo, PPOConfig, {"beta": beta, "lam": 1.0, "critic": CRITIC})
        for beta in (0.15, 0.2, 0.3, 0.5)
    },
    "ppo-0.3-clipped": Run(
        ppo,
        PPOConfig,
        {"beta": 0.3, "lam": 1.0, "critic": CRITIC, "scores": {"clip": 1.5}, "unfinished_penalty": 0},
    ),
    "rloo-0.2": Run(rloo, RLOOConfig, {"beta": 0.2}),
    "grpo-0.1": Run(grpo, GRPOConfig, {"beta": 0.1}),
    "online_dpo-0.2": Run(online_dpo, OnlineDPOConfig, {"beta": 0.2, "labels": "soft"}),
}


STAGES = {"best": "best", **{f"dpo-{beta:g}": f"dpo/beta={beta:g}" for beta in BETAS}}
"""Which stage of the recipe made a model that nothing is measured of as it goes."""


def start(seed: int, folder: Path) -> None:
    """The demo's stages: the SFT model and the reward model that runs start from, and those of STAGES."""
    recipe = yaml.safe_load((ASSETS / "demo" / "recipe.yaml").read_text(encoding="utf-8"))
    stages = {name: recipe["stages"][name] for name in ("sft", "answers", "ranking", "reward", "best", "dpo")}
    del stages["dpo"]["beta"]
    stages["dpo"]["each"] = {"beta": list(BETAS)}
    for stage in stages.values():
        for key in ("data", "prompts"):
            if str(stage.get(key, "")).endswith(".jsonl"):
                stage[key] = str(ASSETS / "demo" / stage[key])
    text = {"name": "start", "model": str(ASSETS / "base"), "roots": [str(ASSETS)], "seed": seed, "stages": stages}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "start.yaml").write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    run(load(folder / "start.yaml"), folder / "start")


def draw(seed: int, folder: Path) -> None:
    """Answers of the SFT model, with what each of both scores says of them: draws.json."""
    if (folder / "draws.json").exists():
        return
    asked = read(ASSETS / "demo" / "heldout.jsonl", kind="prompt")[:PROMPTS]
    write(asked, "prompt", folder / "asked.jsonl")
    config = GenerateConfig(**READ, samples=DRAWS, max_new_tokens=48, seed=seed, chunk=16)
    generate(folder / "start" / "sft" / "model", folder / "asked.jsonl", config, out=folder / "draws")
    groups = read(folder / "draws" / "answers.jsonl", kind="sample")
    reward, judge = (
        score_groups(by, groups, ScoreConfig(**READ)).total for by in (folder / "start" / "reward" / "model", JUDGE)
    )
    cut = [[CUT * (not answer.finished) for answer in group.answers] for group in groups]
    reward = [[s - c for s, c in zip(*both, strict=True)] for both in zip(reward, cut, strict=True)]
    (folder / "draws.json").write_text(json.dumps({"reward": reward, "judge": judge}), encoding="utf-8")


def train(seed: int, names: Sequence[str]) -> None:
    folder = RUNS_AT / f"seed-{seed}"
    start(seed, folder)
    draw(seed, folder)
    for name in names:
        if not (folder / name / "model").exists():
            RUNS[name].train(seed, folder / "start", folder / name)
    compare(seed, folder)


def compare(seed: int, folder: Path) -> None:
    """The final models: the demo's verdict, and what they climb on the prompts of the curves, FINE answers to each."""
    made = {name: folder / "start" / stage for name, stage in STAGES.items()} | {name: folder / name for name in RUNS}
    models = {"sft": folder / "start" / "sft" / "model"}
    models |= {name: at / "model" for name, at in made.items() if (at / "model").exists()}
    demo, judges = (
        ASSETS / "demo",
        [
            {"by": str(folder / "start" / "reward" / "model"), "name": "reward"},
            {"by": JUDGE, "weight": 0, "name": "judge"},
        ],
    )
    config = EvaluateConfig(**READ, seed=seed, sampling=LONGEST)
    texts: dict[str, Any] = {"base": ASSETS / "base", "text": demo / "heldout_text.jsonl"}
    if _stale(folder / "verdict", models):
        evaluate(models, demo / "heldout.jsonl", config, by=JUDGE, out=folder / "verdict", **texts)
    if _stale(folder / "fine", models):
        fine = config.model_copy(update={"samples": FINE})
        evaluate(models, folder / "asked.jsonl", fine, by=judges, out=folder / "fine")


def _stale(out: Path, models: Mapping[str, Path]) -> bool:
    verdict = out / "verdict.json"
    return not verdict.exists() or bool(models.keys() - json.loads(verdict.read_text(encoding="utf-8")).keys())


# ---- what came out


@dataclass(frozen=True)
class Curve:
    """Gains over the SFT model by KL, point by point."""

    kl: Floats
    reward: Floats
    judge: Floats


@dataclass(frozen=True)
class Seed:
    """All that one seed says. Gains are over the mean of the SFT model's own draws.

    `runs` are evaluations as a run goes, an answer a prompt; `last` the final models, FINE answers a prompt; `dpo`
    those of DPO, from the largest β to the smallest.
    """

    number: int
    best: Curve
    ceiling: Curve
    runs: dict[str, Curve]
    last: dict[str, Curve]
    dpo: Curve
    verdict: dict[str, dict[str, float]]

    @classmethod
    def of(cls, number: int) -> "Seed":
        folder = RUNS_AT / f"seed-{number}"
        draws = json.loads((folder / "draws.json").read_text(encoding="utf-8"))
        reward_GK, judge_GK = draws["reward"], draws["judge"]
        plain = np.mean(reward_GK), np.mean(judge_GK)
        counts = range(1, 65)
        best = [(kl_bound(n), *(best_of_n(reward_GK, v, n).mean() for v in (reward_GK, judge_GK))) for n in counts]
        fine, verdict = (json.loads((folder / name / "verdict.json").read_text()) for name in ("fine", "verdict"))
        names = [name for name in (*STAGES, *RUNS) if name in fine]
        sweep = [_final(fine[f"dpo-{beta:g}"]) for beta in reversed(BETAS)]
        return cls(
            number,
            _curve(best, plain),
            _curve(list(_ceiling(reward_GK, judge_GK)), plain),
            {name: _curve(_evaluations(folder / name), plain) for name in names if name in RUNS},
            {name: _curve([_final(fine[name])], plain) for name in names},
            _curve(sweep, plain),
            verdict,
        )

    def shares(self, run: Curve) -> tuple[float, float]:
        """A run's gains by those of best of n at its KL, between two n by the straight line; NaN beyond the last."""
        kl = float(run.kl[-1])
        at = [float(np.interp(kl, self.best.kl, of, right=np.nan)) for of in (self.best.reward, self.best.judge)]
        return float(run.reward[-1]) / at[0], float(run.judge[-1]) / at[1]


def _curve(points: Sequence[tuple[float, float, float]], plain: tuple[Any, Any]) -> Curve:
    kl, reward, judge = np.array(points, dtype=np.float64).reshape(-1, 3).T
    return Curve(kl, reward - plain[0], judge - plain[1])


def _ceiling(reward_GK: Sequence[Sequence[float]], judge_GK: Sequence[Sequence[float]]) -> Any:
    """π_SFT·exp(R/β)/Z at falling prices, as long as enough of the draws count."""
    for beta in np.geomspace(4, 0.1, 60):
        found = [tilted(score_K, float(beta)) for score_K in reward_GK]
        if np.mean([one.effective for one in found]) < LEAST_EFFECTIVE:
            return
        means = [
            np.mean([one.mean(value_K) for one, value_K in zip(found, value_GK, strict=True)])
            for value_GK in (reward_GK, judge_GK)
        ]
        yield float(np.mean([one.kl for one in found])), *means


def _final(figures: Mapping[str, float]) -> tuple[float, float, float]:
    reward = figures["judge_mean/reward"] - CUT * (1 - figures["ended"])
    return figures["kl"], reward, figures["judge_mean/judge"]


def _evaluations(out: Path) -> list[tuple[float, float, float]]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        (line["heldout_kl"], line["heldout_reward"], line["heldout_judge"]) for line in lines if "heldout_kl" in line
    ]


def tell(seeds: Sequence[Seed]) -> None:
    print("| seed | run | KL | gain in reward | of best of n's | judge B's gain | of best of n's | win rate | length |")
    print("|---:|---|---:|---:|---:|---:|---:|---|---:|")
    for seed in seeds:
        for name, last in seed.last.items():
            of_reward, of_judge = seed.shares(last)
            won = seed.verdict[name]
            cells = [
                f"{seed.number}",
                name,
                *(
                    f"{value:.2f}".replace("nan", "–")
                    for value in (last.kl[0], last.reward[0], of_reward, last.judge[0], of_judge)
                ),
                f"{won['win_rate']:.3f} [{won['win_rate_low']:.3f}, {won['win_rate_high']:.3f}]",
                f"{won['answer_length'] / seed.verdict['sft']['answer_length']:.2f}",
            ]
            print("| " + " | ".join(cells) + " |")


def tell_lengths(number: int) -> None:
    """What the SFT model's own answers are worth by their length: where the first steps of a policy gradient go."""
    folder = RUNS_AT / f"seed-{number}"
    draws = json.loads((folder / "draws.json").read_text(encoding="utf-8"))
    lines = map(json.loads, (folder / "draws" / "answers.jsonl").read_text(encoding="utf-8").splitlines())
    length_GK = np.array([[len(tokens) for tokens in line["tokens"]] for line in lines])
    reward_GK = np.array(draws["reward"])
    apart_GK = reward_GK - reward_GK.mean(axis=1, keepdims=True)
    kept_GK = np.array([kept_chance(reward_K, 16) for reward_K in reward_GK]) / len(reward_GK)
    print(f"\nseed {number}: reward less the prompt's mean, by the answer's tokens")
    print("| tokens | of all | reward | of the best of 16 |\n|---|---:|---:|---:|")
    for low, high in itertools.pairwise((1, 8, 16, 24, 32, 48, 49)):
        here_GK = (length_GK >= low) & (length_GK < high)
        name = f"{low} to {high - 1}" if high < 49 else "48: cut, or just ended"
        print(f"| {name} | {here_GK.mean():.3f} | {apart_GK[here_GK].mean():.2f} | {kept_GK[here_GK].sum():.3f} |")


def draw_picture(seed: Seed, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    for axes, value, title in zip(
        figure.subplots(1, 2),
        ("reward", "judge"),
        ("the reward that is climbed", "judge B, which nothing climbs"),
        strict=True,
    ):
        axes.plot(seed.ceiling.kl, getattr(seed.ceiling, value), color="black", linestyle=":", label="best policy")
        axes.plot(seed.best.kl, getattr(seed.best, value), color="black", label="best of n, n ≤ 64")
        for name, curve in seed.runs.items():
            line = axes.plot(curve.kl, getattr(curve, value), marker="o", markersize=2, linewidth=0.8, label=name)
            last = seed.last[name]
            axes.plot(last.kl, getattr(last, value), marker="o", markersize=8, color=line[0].get_color())
        sweep = f"DPO, β {max(BETAS):g} to {min(BETAS):g}"
        axes.plot(seed.dpo.kl, getattr(seed.dpo, value), marker="s", markersize=5, color="tab:brown", label=sweep)
        if best := seed.last.get("best"):
            label = "rejection sampling, 2 rounds of 8"
            axes.plot(best.kl, getattr(best, value), marker="^", markersize=9, linestyle="", color="black", label=label)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("KL to the SFT model, nats an answer", loc="right")
        axes.grid(axis="y", color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("gain over the SFT model")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seeds", nargs="*", type=int, metavar="SEED")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tell", type=Path, metavar="PICTURE", help="print the tables, and draw the first seed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for seed in options.seeds:
        train(seed, options.only)
    if options.tell:
        seeds = [Seed.of(int(at.parent.name.removeprefix("seed-"))) for at in sorted(RUNS_AT.glob("seed-*/draws.json"))]
        tell(seeds)
        for seed in seeds:
            tell_lengths(seed.number)
        draw_picture(seeds[0], options.tell)


if __name__ == "__main__":
    main()
