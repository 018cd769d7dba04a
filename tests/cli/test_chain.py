"""The whole chain on a two-layer model, by one recipe and by single commands, as a user types them."""

import json
import re
from pathlib import Path

import pytest

from burnish.cli.main import main

RECIPE = """\
name: chain
model: {model}
max_length: 64
micro_batch_tokens: 512
batch_size: 4
steps: 2
learning_rate: 1e-3
stages:
  sft:     {{method: sft, model: base, data: demos.jsonl, steps: 40, learning_rate: 1e-2}}
  answers: {{method: generate, model: sft, prompts: prompts.jsonl, samples: 3, max_new_tokens: 6, temperature: 0.5}}
  ranking: {{method: rank, answers: answers, by: judges:favourable-a}}
  reward:  {{method: reward, model: sft, data: ranking, evaluate_on: ranking, evaluate_every: 1}}
  ppo:     {{method: ppo, model: sft, by: reward, prompts: prompts.jsonl, samples: 2, sampling: {{max_new_tokens: 6}}}}
  dpo:     {{method: dpo, model: sft, data: ranking, each: {{beta: [0.1, 0.5]}}}}
  best:    {{method: reject, model: sft, by: reward, prompts: prompts.jsonl, samples: 2,
             sampling: {{max_new_tokens: 6}}}}
  compare: {{method: evaluate, models: [sft, best, dpo, ppo], by: judges:favourable-b, prompts: prompts.jsonl,
             base: base, text: text.jsonl, sampling: {{max_new_tokens: 6}}}}
"""


@pytest.fixture(scope="module")
def workplace(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    sentences = [f"the film number {i} is {'good' if i % 2 else 'bad'}" for i in range(12)]
    rows = {
        "demos": [{"prompt": s[:8], "response": s[8:]} for s in sentences],
        "prompts": [{"prompt": f"film {i} "} for i in range(10)],
        "text": [{"text": s} for s in sentences],
    }
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    (folder / "recipe.yaml").write_text(f"roots: [{tiny_model.parent}]\n" + RECIPE.format(model=tiny_model))
    return folder


@pytest.fixture(scope="module")
def chain(workplace: Path) -> Path:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(workplace)
        assert main(["run", "recipe.yaml", "--quiet"]) == 0
    return workplace / "runs/chain"


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    return workplace


def test_every_stage_is_done_and_has_figures(chain: Path):
    summary = json.loads((chain / "summary.json").read_text())
    names = ["sft", "answers", "ranking", "reward", "ppo", "dpo/beta=0.1", "dpo/beta=0.5", "best", "compare"]
    assert list(summary) == names
    assert all((chain / name / "DONE.json").exists() for name in names)
    assert list(summary["compare"]) == ["sft", "best", "dpo/beta=0.1", "dpo/beta=0.5", "ppo"]
    assert summary["sft"].keys() == {"step", "loss", "grad_norm", "learning_rate", "tokens"}
    assert 0 <= summary["compare"]["ppo"]["win_rate_low"] <= 1


def test_a_second_call_does_nothing_and_prints_the_same(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.stat().st_mtime_ns for path in chain.rglob("*") if path.is_file() and "model" in path.parts}
    capsys.readouterr()
    assert main(["run", "recipe.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((chain / "summary.json").read_text())
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_status_reuses_everything(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main(["status", "runs/chain", "--json"]) == 0
    assert {stage["does"] for stage in json.loads(capsys.readouterr().out)["stages"].values()} == {"reuse"}


def test_a_changed_key_ends_with_78(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "recipe.yaml", "--set", "ppo.beta=0.5"]) == 78
    assert "ppo.beta: 0.3 then, 0.5 now" in capsys.readouterr().err


def test_single_commands_give_what_the_recipe_gives(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    shared = ["max_length=64", "micro_batch_tokens=512"]
    trained = [*shared, "batch_size=4"]
    model = json.loads((chain / "sft/inputs.json").read_text())["inputs"]["model"]["path"]

    def typed(*words: str, keys: list[str]) -> dict[str, float]:
        capsys.readouterr()
        settings = [word for key in keys for word in ("--set", key)]
        assert main([*words, *settings, "--json"]) == 0
        return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]

    summary = json.loads((chain / "summary.json").read_text())
    sft = typed(
        "sft",
        "--model",
        model,
        "--data",
        "demos.jsonl",
        "--out",
        "out/sft",
        keys=[*trained, "steps=40", "learning_rate=1e-2"],
    )
    assert sft["loss"] == summary["sft"]["loss"]
    words = ["generate", "--model", "out/sft/model", "--prompts", "prompts.jsonl", "--samples", "3"]
    typed(*words, "--out", "out/answers.jsonl", keys=[*shared, "max_new_tokens=6", "temperature=0.5"])
    assert texts(here / "out/answers.jsonl") == texts(chain / "answers/answers.jsonl")
    words = [
        "rank",
        "judge",
        "--answers",
        "out/answers.jsonl",
        "--by",
        "judges:favourable-a",
        "--out",
        "out/ranks.jsonl",
    ]
    typed(*words, keys=shared)
    words = ["reward", "--model", "out/sft/model", "--data", "out/ranks.jsonl", "--out", "out/reward"]
    words += ["--evaluate-on", "out/ranks.jsonl"]
    trained_so = typed(*words, keys=[*trained, "steps=2", "learning_rate=1e-3", "evaluate_every=1"])
    assert trained_so == summary["reward"]
    assert trained_so["heldout_accuracy_low"] < trained_so["heldout_accuracy"] < trained_so["heldout_accuracy_high"]
    scored = typed("score", "--model", "out/reward/model", "--data", "out/answers.jsonl", keys=shared)
    assert scored["answers"] == 30
    assert main(["score", "--model", "out/reward/model", "--data", "demos.jsonl", "--out", "demos.jsonl"]) == 73


def test_a_verdict_is_a_gate(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    words = ["evaluate", "--models", "runs/chain/sft/model,runs/chain/best/model", "--prompts", "prompts.jsonl"]
    words += ["--by", "judges:favourable-b", "--out", "out/verdict", "--set", "sampling.max_new_tokens=6"]
    assert main([*words, "--require", "win_rate_low >= 0", "--require", "best.kl < 100"]) == 0
    sentence = capsys.readouterr().out.splitlines()[0]
    assert re.match(r"(best|sft) .* of prompts \[\d+–\d+\], at [\d.]+ nats, with answers ", sentence)
    assert main([*words, "--require", "win_rate > 1", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["best"]["sentence"] == sentence, "a gate ends after everything was told"
    assert "not met: best.win_rate > 1" in told.err
    assert main([*words, "--set", "require=best.kl < 0"]) == 1
    assert main([*words, "--require", "win_rat > 1"]) == 64
    assert main([*words, "--require", "win_rate = 1"]) == 64


def test_the_doctor_finds_a_model_and_a_recipe_well(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main(["doctor", "runs/chain/reward/model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "Scorer"
    assert main(["doctor", "recipe.yaml", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sft"]["data"] == "12 records"
    assert told["sft"]["checks"].startswith("hold on 12 rows: ")
    assert main(["doctor", "--json"]) == 0


def test_the_doctor_skips_and_cuts_as_the_stage_does(
    here: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    rows = [{"prompt": f"row {i}", "response": "fine"} for i in range(100)] + [{"prompt": "blank", "response": ""}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = f"model: {tiny_model}\nroots: [{tiny_model.parent}]\n"
    recipe += "stages: {sft: {method: sft, model: base, data: rows.jsonl}}\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert main(["doctor", str(tmp_path / "recipe.yaml")]) == 65
    capsys.readouterr()
    assert main(["doctor", str(tmp_path / "recipe.yaml"), "--set", "on_bad_row=skip", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sft"]["data"] == "100 records, 1 skipped"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml", "rows.jsonl"]


def texts(file: Path) -> list[list[str]]:
    return [json.loads(line)["answers"] for line in file.read_text().splitlines()]


def test_a_change_that_is_allowed_goes_on_from_the_checkpoint(here: Path, capsys: pytest.CaptureFixture[str]):
    recipe = (here / "recipe.yaml").read_text()
    head = recipe[: recipe.index("  answers:")].replace("name: chain", "name: short").replace("steps: 40", "steps: 3")
    (here / "short.yaml").write_text(head)
    assert main(["run", "short.yaml", "--out", "out/short"]) == 0
    for file in [here / "out/short/sft/DONE.json", *(here / "out/short/sft/model").iterdir()]:
        file.unlink()
    words = ["run", "short.yaml", "--out", "out/short", "--set", "sft.learning_rate=2e-2"]
    capsys.readouterr()
    assert main(words) == 78
    assert "sft.learning_rate: 0.01 then, 0.02 now" in capsys.readouterr().err
    assert main([*words, "--allow-changed", "sft.learning_rate"]) == 0
    assert len((here / "out/short/sft/metrics.jsonl").read_text().splitlines()) == 3
    assert main(words) == 0


def test_an_exported_model_tells_the_whole_chain(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main(["export", "runs/chain/dpo/beta=0.1", "--out", "out/dpo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["largest_difference"] == 0
    card = (here / "out/dpo/README.md").read_text()
    stages = re.findall(r"^\| (sft|answers|ranking|dpo/beta=0\\.1|dpo/beta=0.1) \|", card, re.MULTILINE)
    assert stages == ["sft", "answers", "ranking", "dpo/beta=0.1"]  # reward made nothing that this model is made of
    assert "demos.jsonl, 12 rows" in card
    assert "## Verdict of compare" in card
    assert "burnish run recipe.yaml --out runs/chain" in card
    assert str(here) not in card


def test_an_exported_reward_model_scores_the_same(chain: Path, here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", "runs/chain/reward", "--out", "out/scorer", "--json"]) == 0
    assert "How to read a score" in (here / "out/scorer/README.md").read_text()
    scored = ["--data", "runs/chain/answers/answers.jsonl", "--set", "max_length=64", "--json"]
    capsys.readouterr()
    assert main(["score", "--model", "runs/chain/reward/model", *scored]) == 0
    before = capsys.readouterr().out
    assert main(["score", "--model", "out/scorer", *scored]) == 0
    assert capsys.readouterr().out == before
