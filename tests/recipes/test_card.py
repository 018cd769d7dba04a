"""The card says what the run's folders say, escapes what comes from them, and calls the rest unknown."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from burnish.recipes.card import Subject, card, fenced, md
from burnish.recipes.lineage import Input, Lineage, RunFacts, Step, Verdict, command, front_matter, lineage

SUBJECT = Subject(
    name="tuned",
    kind="policy",
    format="hf",
    dtype="bfloat16",
    parameters=134_515_008,
    config={"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 8192},
    files={"model.safetensors": "ef" * 32},
    template="chat",
    ends=("<|im_end|>",),
)
FIGURES: dict[str, Any] = {"win_rate": 0.63, "win_rate_low": 0.58, "win_rate_high": 0.68, "kl": 4.1, "kl_se": 0.3}


def step(name: str, method: str, *inputs: Input, **settings: Any) -> Step:
    return Step(name, method, inputs, settings, {"loss": 0.5}, {"torch": "2.13.0"})


def chain(**changes: Any) -> Lineage:
    base = Input("model", "org/base", hub=True, revision="0123456789abcdef")
    sft = step("sft", "sft", base, Input("data", "demos.jsonl", sha256="cd" * 32, lines=1234), epochs=2)
    dpo = step("dpo", "dpo", Input("model", "sft", stage=True, sha256="12" * 32), **{"loss.kind": "ipo"})
    verdict = Verdict(
        "compare", "judges:favourable-b", {"sft": {"win_rate": 0.5, "answer_length": 20.0}, "dpo": FIGURES}
    )
    run = RunFacts("harmless", "name: harmless\n", "/home/me/recipe.yaml", {"sft": {"epochs": 2}, "seed": 3}, 2)
    return replace(Lineage((sft, dpo), base, (verdict,), run), **changes)


def test_it_tells_the_chain_with_hashes_and_rows():
    said = card(SUBJECT, chain())
    assert "org/base at commit 0123456789ab → sft \\(sft\\) → dpo \\(dpo\\)" in said
    assert "data: demos.jsonl, 1,234 rows (cdcdcdcdcdcd)" in said
    assert "epochs: 2" in said
    assert "135 million weights, LlamaForCausalLM, stored as bfloat16" in said
    assert "at most 8,192 tokens" in said


def test_what_was_changed_after_a_stage_began_stands_in_its_row():
    changed = replace(chain().steps[0], allowed={"epochs": 4})
    said = card(SUBJECT, chain(steps=(changed,)))
    assert "epochs: 2<br>changed after it began (--allow-changed): epochs: 4 |" in said


def test_the_hub_reads_its_front_matter():
    assert front_matter(card(SUBJECT, chain())) == {
        "base_model": "org/base",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["burnish", "sft", "dpo"],
    }


def test_the_verdict_stands_with_its_interval_and_sentence():
    said = card(SUBJECT, chain())
    assert "**dpo is preferred to sft on 63 % of prompts \\[58–68\\], at 4.1 nats.**" in said
    assert "| win rate | 0.5 | 0.630 (0.580 to 0.680) |" in said
    assert "4.1 ± 0.3" in said


def test_an_evaluation_by_a_suite_alone_has_its_verdict_and_compares_with_nobody(tmp_path: Path):
    figures = {"dpo": {"safe": 0.75, "safe_low": 0.7, "safe_high": 0.8, "suite_prompts": 3187.0}}
    for name, method in (("dpo", "dpo"), ("guard", "evaluate")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inputs.json").write_text(json.dumps({"stage": name, "method": method, "inputs": {}}))
        (tmp_path / name / "DONE.json").write_text(json.dumps({"figures": figures, "outputs": {}}))
    (tmp_path / "lock.json").write_text("{}")
    said = card(SUBJECT, lineage(tmp_path / "dpo"))
    assert "## Verdict of guard\n\n| | dpo |" in said
    assert "| safe | 0.750 (0.700 to 0.800) |" in said


def test_what_is_not_known_is_called_unknown():
    said = card(SUBJECT, Lineage())
    assert "How it was trained is unknown" in said
    assert "Licence: unknown" in said
    assert "license" not in front_matter(said)


def test_the_command_makes_it_again_without_anybodys_folders():
    assert command(chain()) == "burnish run recipe.yaml --set sft.epochs=2 --seed 3 --out runs/harmless"
    assert "/home/me" not in card(SUBJECT, chain())
    alone = chain(run=None, steps=(step("out", "sft", Input("data", "a b.jsonl"), epochs=2, lora=None),))
    assert command(alone) == "burnish sft --data 'a b.jsonl' --set epochs=2 --set lora=null --out out"


@pytest.mark.parametrize(("folder", "said"), [("demo", "burnish demo"), ("demo-zh", "burnish demo --language zh")])
def test_the_recipes_that_ship_are_run_by_their_own_command(folder: str, said: str):
    facts = RunFacts("r", "", f"/lib/burnish/assets/{folder}/recipe.yaml", {}, 1)
    assert command(chain(run=facts)) == f"{said} --out runs/r"


def test_a_judge_is_named_once_and_not_by_its_rubric(tmp_path: Path):
    chat = {"judge": "https://host/v1", "model": "qwen", "rubric": "Shorter is better.", "name": "short"}
    reward = {"by": {"stage": "reward", "sha256": "ab" * 32}, "weight": 0.5, "name": "ours"}
    shown = {"by": {"path": "/home/me/other/model", "sha256": "cd" * 32}, "weight": 0}
    inputs = {"by": [chat, reward, shown, "judges:favourable-a", {"by": {"hub": "org/scorer", "revision": ""}}]}
    for name, method, said in (("dpo", "dpo", {}), ("compare", "evaluate", inputs)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "inputs.json").write_text(json.dumps({"stage": name, "method": method, "inputs": said}))
        (tmp_path / name / "DONE.json").write_text(json.dumps({"figures": {"dpo": FIGURES}, "outputs": {}}))
    (tmp_path / "lock.json").write_text("{}")
    (verdict,) = lineage(tmp_path / "dpo").verdicts
    assert verdict.judge == "short, ours, judges:favourable-a, org/scorer"
    made_from = [(one.key, one.name) for one in lineage(tmp_path / "compare").steps[-1].inputs]
    assert made_from == [
        ("by", name) for name in ("https://host/v1", "reward", "model", "judges:favourable-a", "org/scorer")
    ]


def test_the_same_model_has_the_same_card():
    assert card(SUBJECT, chain()) == card(SUBJECT, chain())


def test_a_reward_models_card_says_how_to_read_a_score():
    config = {"architectures": ["LlamaForSequenceClassification"], "score_mean": 1.25, "score_deviation": 2.5}
    said = card(replace(SUBJECT, kind="scorer", template="", ends=(), config=config), chain())
    assert "`score_mean` 1.25, `score_deviation` 2.5" in said
    assert front_matter(said)["pipeline_tag"] == "text-classification"
    plain = card(replace(SUBJECT, kind="scorer", config={}), chain())
    assert "It was not normalised" in plain


HOSTILE = "</table><script>alert(1)</script> [x](javascript:1) `a` |b|\n---\n# c \u202e\x1b[31m"


def test_text_of_a_run_opens_nothing():
    name = step("sft", "sft", Input("data", HOSTILE), **{HOSTILE: HOSTILE})
    said = card(replace(SUBJECT, name=HOSTILE, notes=(HOSTILE,), ends=(HOSTILE,)), chain(steps=(name,)))
    body = said.split("\n---\n", 1)[1]
    assert "<script" not in body
    assert "\\[x\\]\\(javascript:1\\)" in body
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert not any(line.startswith("# c") or line == "---" for line in body.splitlines())
    assert all(line.count(" | ") == 3 for line in body.splitlines() if line.startswith("| sft |"))


def test_a_recipe_cannot_end_its_block():
    said = fenced("a: |\n  ````\n  # no heading\n", "yaml")
    assert said.startswith("`````yaml\n")
    assert said.endswith("\n`````\n")


def test_front_matter_cannot_be_written_by_a_name():
    base = Input("model", "a/b\n---\nlicense: mit", hub=True)
    found = front_matter(card(SUBJECT, chain(base=base)))
    assert "license" not in found


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_API_KEY", "correct-horse_battery")
    hidden = step(
        "sft", "sft", by="https://user:pass@host/?key=abc", token="hf_abcdefgh12345678", note="correct-horse_battery"
    )
    facts = RunFacts("r", "by: https://h/?token=s3cr3t-value\n", "r.yaml", {"k": "hf_abcdefgh12345678"}, 1)
    said = card(SUBJECT, chain(steps=(hidden,), run=facts))
    for secret in ("pass@", "hf\\_abc", "hf_abc", "correct", "s3cr3t"):
        assert secret not in said, secret


def test_markdown_is_text():
    assert md("a*b_c|d<e>&") == "a\\*b\\_c\\|d&lt;e\\>&amp;"
