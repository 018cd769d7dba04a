import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from recipes.conftest import Workplace
from safetensors.torch import save_file

from burnish.errors import ConfigError, MissingInput
from burnish.evaluation.intervals import each_of
from burnish.evaluation.power import power_of, prompts_needed
from burnish.recipes import machine
from burnish.recipes.machine import needs, shortage
from burnish.recipes.plan import lines, plan
from burnish.recipes.run import run
from burnish.recipes.status import lines as status_lines
from burnish.recipes.status import status

TEXT = """\
name: test
model: model
seed: 3
stages:
  first: {method: write, model: base, data: data.jsonl, beta: 1e-1}
  second: {method: write, model: first, data: data.jsonl}
"""


def quiet(line: str) -> None:
    pass


def test_a_plan_says_where_every_value_came_from(place: Workplace):
    stages = plan(place.load(TEXT, {"second": {"text": "typed"}}))["stages"]
    first, second = stages["first"]["settings"], stages["second"]["settings"]
    assert first["beta"] == {"value": 0.1, "from": f"given {place.file}:5"}
    assert first["seed"] == {"value": 3, "from": f"inherited {place.file}:3"}
    assert first["batch_size"] == {"value": 8, "from": "default"}
    assert second["text"] == {"value": "typed", "from": "given --set"}
    assert stages["second"]["inputs"]["model"] == "stage first"


def test_a_plan_says_what_each_of_several_judges_weighs(place: Workplace):
    by = "[judges:favourable-a, {by: judges:favourable-b, weight: 0}]"
    text = TEXT + f"  compare: {{method: judge, models: [first], by: {by}}}\n"
    told = plan(place.load(text))["stages"]["compare"]["inputs"]["by"]
    assert told == "judges:favourable-a, judges:favourable-b (weight 0)"


def test_a_method_that_does_not_evaluate_says_so(place: Workplace):
    planned = plan(place.load(TEXT + "evaluate_every: 5\n"))["stages"]
    assert planned["first"]["notes"] == ["evaluate_every: write does not evaluate while it trains"]


def test_rejection_sampling_evaluates_by_rounds_and_says_so(place: Workplace):
    text = TEXT + "  best: {method: reject, model: first, prompts: data.jsonl, by: base, evaluate_every: 5}\n"
    notes = plan(place.load(text))["stages"]["best"]["notes"]
    assert notes == ["evaluate_every: reject evaluates before its first round and after each"]


def test_a_plan_can_be_read_and_be_json(place: Workplace):
    planned = plan(place.load(TEXT))
    assert json.loads(json.dumps(planned)) == planned
    assert any(line.startswith("first  (write)") for line in lines(planned))


def test_ppo_says_how_far_its_beta_lets_it_go(place: Workplace):
    text = TEXT + "  ppo: {method: ppo, model: first, prompts: data.jsonl, by: reward, beta: 0.3}\n"
    text += "  reward: {method: reward, model: first, data: data.jsonl}\n"
    notes = plan(place.load(text))["stages"]["ppo"]["notes"]
    assert notes == ["beta 0.3: for scores of deviation 1 the optimum lies at about 1/(2β²) = 5.56 nats an answer"]


def test_where_the_kl_is_given_its_beta_is_told(place: Workplace):
    text = TEXT + "  rloo: {method: rloo, model: first, prompts: data.jsonl, by: reward, target_kl: 8}\n"
    text += "  reward: {method: reward, model: first, data: data.jsonl}\n"
    notes = plan(place.load(text))["stages"]["rloo"]["notes"]
    assert notes == ["beta 0.25: for scores of deviation 1 the optimum lies at about 1/(2β²) = 8 nats an answer"]


def test_a_plan_says_how_many_prompts_decide_and_what_those_there_can_tell(place: Workplace):
    (place.path / "prompts.jsonl").write_text("".join(f'{{"prompt": "{n}"}}\n' for n in range(400)))
    text = TEXT + "  compare: {method: judge, models: [base, first, second], prompts: prompts.jsonl, by: base}\n"
    assert "power" not in plan(place.load(text))["stages"]["compare"]
    planned = plan(place.load(text), with_power=True)
    told = planned["stages"]["compare"]["power"]
    assert (told["of"], told["there"], told["comparisons"]) == ("prompts", 400, 2)
    assert [row["ties"] for row in told["rows"]] == [0.0, 0.2, 0.4]
    assert told["rows"][0]["needed"] == prompts_needed(0.55, level=each_of(2))
    assert told["rows"][0]["chance"] == power_of(400, 0.55, level=each_of(2))
    assert "power" not in planned["stages"]["first"]
    table = lines(planned)[-4:]
    assert table[0].split() == ["ties", "prompts", "told", "by", "400"]
    assert table[1].split() == ["0%", f"{told['rows'][0]['needed']:,}", f"{told['rows'][0]['chance']:.0%}"]


def test_of_several_answers_a_prompt_the_plan_says_what_likeness_leaves_of_them(place: Workplace):
    text = TEXT + "  answers: {method: answer, model: first}\n"
    text += "  compare: {method: judge, models: [base, first], prompts: answers, by: base, samples: 4}\n"
    told = plan(place.load(text), with_power=True)["stages"]["compare"]["power"]
    assert told["there"] is None, "another stage makes them"
    needed = {row["alike"]: row["needed"] for row in told["rows"] if row["ties"] == 0.0}
    assert needed[1.0] == 783
    assert needed[0.0] == prompts_needed(0.55, samples=4, alike=0.0)
    assert needed[0.0] < needed[0.5] < needed[1.0]


def test_held_out_rankings_have_a_power_too(place: Workplace):
    pair = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
    (place.path / "pairs.jsonl").write_text(pair * 3)
    text = TEXT + "  reward: {method: reward, model: first, data: pairs.jsonl, evaluate_on: pairs.jsonl}\n"
    told = plan(place.load(text), with_power=True)["stages"]["reward"]["power"]
    assert (told["of"], told["there"], told["rows"][0]["needed"]) == ("rankings", 3, 783)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with CUDA can do it")
@pytest.mark.parametrize(
    ("setting", "instead"), [("device: cuda", "device: cpu"), ("dtype: bfloat16", "dtype: float32")]
)
def test_what_a_cpu_cannot_do_is_refused_before_anything_runs(place: Workplace, setting: str, instead: str):
    recipe = place.load(TEXT.replace("beta: 1e-1", setting))
    with pytest.raises(ConfigError, match=f"first.*write `{instead}`"):
        run(recipe, place.out, tell=quiet)
    assert not (place.out / "first").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with CUDA can do it")
def test_a_plan_tells_what_would_be_refused_and_is_shown_all_the_same(place: Workplace):
    assert plan(place.load(TEXT))["refused"] == []
    planned = plan(place.load(TEXT.replace("beta: 1e-1", "device: cuda")))
    (line,) = planned["refused"]
    assert line.startswith("first.device: cuda")
    assert lines(planned)[-2:] == ["", f"refused here: {line}"]


def test_a_plan_shows_no_secret(place: Workplace):
    planned = plan(place.load(TEXT.replace("beta: 1e-1", "text: hf_abcdefghijkl")))
    assert planned["stages"]["first"]["settings"]["text"]["value"] == "***"


def test_the_estimate_counts_sixteen_bytes_a_trained_weight_and_four_a_read_one(place: Workplace):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(10)}, place.path / "model/model.safetensors")
    recipe = place.load(TEXT + "  third: {method: write, model: base, data: data.jsonl, lora: {rank: 4}}\n")
    assert needs(recipe)["first"].memory == 25 * 16
    assert needs(recipe)["second"].memory == 25 * 16
    assert needs(recipe)["third"].memory < 25 * 5


def test_each_of_several_processes_needs_memory_for_what_they_compute_together(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(10)}, place.path / "model/model.safetensors")
    text = TEXT + "  reward: {method: reward, model: base, data: data.jsonl}\n"
    recipe = place.load(text + "  rloo: {method: rloo, model: base, prompts: data.jsonl, by: reward}\n")
    monkeypatch.setattr(machine, "available_memory", lambda: 2 * 25 * 16 - 1)  # and rloo alone needs 25 * 24
    assert shortage(recipe, recipe.stages, place.out) == []
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    (line,) = shortage(recipe, recipe.stages, place.out)
    assert line.startswith("reward: needs about 0.0 GB of memory without activations in each of 2 processes")


def test_only_a_method_with_a_critic_needs_memory_for_one(place: Workplace):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(10)}, place.path / "model/model.safetensors")
    text = TEXT + "  reward: {method: reward, model: base, data: data.jsonl}\n"
    for method in ("ppo", "rloo"):
        text += f"  {method}: {{method: {method}, model: base, prompts: data.jsonl, by: reward}}\n"
    text += "  one: {method: ppo, model: base, prompts: data.jsonl, by: reward, critic: {kind: shared}}\n"
    estimates = needs(place.load(text))
    assert estimates["rloo"].memory == 25 * (16 + 4 + 4)  # policy, reference, reward model
    assert estimates["ppo"].memory == estimates["rloo"].memory + 25 * 16
    assert estimates["one"].memory == estimates["rloo"].memory  # it shares the policy's trunk


def test_rejection_sampling_needs_memory_for_what_lies_beside_its_rounds(place: Workplace):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(10)}, place.path / "model/model.safetensors")
    text = TEXT + "  reward: {method: reward, model: base, data: data.jsonl}\n"
    head = "{method: reject, model: base, prompts: data.jsonl, by: reward, rounds: 2"
    text += f"  plain: {head}}}\n"
    text += f"  held: {head}, evaluate_on: data.jsonl, judge: reward}}\n"
    text += f"  anew: {head}, start: incoming}}\n"
    estimates = needs(place.load(text))
    assert estimates["plain"].memory == 25 * 16
    assert estimates["held"].memory == 25 * (16 + 4 + 4 + 4)  # who scores, the judge, and the model that came in
    assert estimates["anew"].memory == 25 * (16 + 4)


def test_rejection_sampling_needs_memory_for_who_scores_where_that_is_more_than_learning(place: Workplace):
    save_file({"a": torch.zeros(30, 50), "b": torch.zeros(1000)}, place.path / "model/model.safetensors")
    text = TEXT + "  reward: {method: reward, model: base, data: data.jsonl, members: 8}\n"
    head = "{method: reject, model: base, prompts: data.jsonl, by: reward"
    text += f"  whole: {head}}}\n"
    text += f"  adapter: {head}, lora: {{rank: 4}}}}\n"
    text += f"  held: {head}, lora: {{rank: 4}}, evaluate_on: data.jsonl}}\n"
    estimates = needs(place.load(text))
    assert estimates["whole"].memory == 2500 * 16, "the moments are gone while a member scores"
    assert estimates["adapter"].memory == 2500 * (4 + 4), "one member after another"
    assert estimates["held"].memory == 2500 * 4 + 50 * 12 + 8 * 2500 * 4, "who scores held-out answers stays"


def test_each_member_of_an_ensemble_that_is_a_folder_is_counted(place: Workplace):
    save_file({"a": torch.zeros(30, 50), "b": torch.zeros(1000)}, place.path / "model/model.safetensors")
    for number, size in ((1, 3000), (2, 4000)):
        folder = place.path / f"ensemble/{number}/model"
        folder.mkdir(parents=True)
        save_file({"a": torch.zeros(size)}, folder / "model.safetensors")
    text = TEXT + "  x: {method: reject, model: base, prompts: data.jsonl, by: ENSEMBLE, lora: {rank: 4}}\n"
    estimates = needs(place.load(text.replace("ENSEMBLE", str(place.path / "ensemble"))))
    assert estimates["x"].memory == (2500 + 4000) * 4


@pytest.mark.parametrize(
    "settings",
    [
        {"average": 0.5, "reference_every": 1, "best": "heldout_reward", "evaluate_every": 2},
        {"critic": {"kind": "shared"}, "reference_every": 1},
        {"critic": {"kind": "shared"}},
    ],
)
def test_the_estimate_of_disk_is_what_a_run_of_ppo_writes(place: Workplace, tiny_model: Path, settings: dict[str, Any]):
    """Two checkpoints and the model; a tenth is for headers, which of a model this small are not nothing."""
    held = {"evaluate_on": "data.jsonl"} if "best" in settings else {}
    shape = {"steps": 2, "batch_size": 1, "samples": 2, "max_length": 32, "save_every": 1, "keep_checkpoints": True}
    given = {"prompts": "data.jsonl", "by": "judges:favourable-a", "sampling": {"max_new_tokens": 4}, **held}
    stage = {"method": "ppo", "model": str(tiny_model), **given, **shape, **settings}
    recipe = place.load(json.dumps({"name": "t", "roots": [str(tiny_model.parent)], "stages": {"ppo": stage}}))
    run(recipe, place.out, tell=quiet)
    written = sum(file.stat().st_size for file in (place.out / "ppo").rglob("*.safetensors"))
    assert needs(recipe)["ppo"].left == pytest.approx(written, rel=0.1)


def test_dpo_needs_memory_and_disk_for_a_second_model_where_its_reference_moves(place: Workplace, tiny_model: Path):
    shape = {
        "method": "dpo",
        "model": str(tiny_model),
        "data": "pairs.jsonl",
        "steps": 2,
        "save_every": 1,
        "keep_checkpoints": True,
    }
    stages = {"still": shape, "moving": {**shape, "reference_every": 1}}
    pairs = [{"prompt": f"{i} + 1 =", "chosen": f" {i + 1}", "rejected": " no"} for i in range(4)]
    (place.path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    recipe = place.load(json.dumps({"name": "t", "roots": [str(tiny_model.parent)], "stages": stages}))
    run(recipe, place.out, tell=quiet)
    estimates = needs(recipe)
    assert estimates["moving"].memory == estimates["still"].memory * 20 / 16
    for name in stages:
        written = sum(file.stat().st_size for file in (place.out / name).rglob("*.safetensors"))
        assert estimates[name].left == pytest.approx(written, rel=0.1)


def test_on_one_base_only_adapters_are_counted_beside_the_model(place: Workplace):
    save_file({"a": torch.zeros(30, 50), "b": torch.zeros(1000)}, place.path / "model/model.safetensors")
    stage = "{method: ppo, model: base, prompts: data.jsonl, by: reward, lora: {rank: 4}, critic: {kind: KIND}}"
    text = TEXT + "  reward: {method: reward, model: base, data: data.jsonl, lora: {rank: 4}}\n"
    text += "".join(f"  {kind}: {stage.replace('KIND', kind)}\n" for kind in ("adapter", "shared", "separate"))
    estimates = needs(place.load(text))
    policy = 2500 * 4 + 50 * 12
    assert estimates["adapter"].memory == policy + 50 * (16 + 4)  # critic, reward model; the base is the policy's
    assert estimates["shared"].memory == policy + 2500 * 4  # the reward model
    assert estimates["separate"].memory == policy + 2500 * (4 + 16)


def test_the_disk_holds_every_result_and_the_checkpoints_of_one_stage_at_a_time(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
):
    save_file({"a": torch.zeros(3, 5), "b": torch.zeros(10)}, place.path / "model/model.safetensors")
    recipe = place.load(TEXT)
    wanted = 2 * 25 * 4 + 3 * 25 * 12  # two models; two checkpoints, and one that is being written
    kept = 2 * 25 * 4 + 5 * 25 * 12
    for loaded, enough in ((recipe, wanted), (place.load(TEXT, {"keep_checkpoints": True}), kept)):
        for free in (enough - 1, enough):
            monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
            assert bool(shortage(loaded, loaded.stages, place.out)) == (free < enough)


def test_a_model_that_does_not_fit_is_refused_unless_forced(place: Workplace):
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 0]}}).encode()
    (place.path / "model/model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    recipe = place.load(TEXT)
    assert len(shortage(recipe, recipe.stages, place.out)) == 3
    with pytest.raises(ConfigError, match=r"first: needs about 16000\.0 GB of memory"):
        run(recipe, place.out, tell=quiet)
    run(recipe, place.out, force=True, tell=quiet)


def test_a_status_says_why_each_stage_would_be_reused_resumed_or_run(place: Workplace):
    run(place.load(TEXT, {"keep_checkpoints": True}), place.out, tell=quiet)
    (place.out / "second/DONE.json").unlink()
    place.file.write_text(TEXT + "  third: {method: answer, model: second}\n")
    stages = status(place.out)["stages"]
    assert [stage["does"] for stage in stages.values()] == ["reuse", "resume", "wait"]
    assert stages["second"]["why"] == "not finished; goes on after step-000001"
    assert stages["third"]["why"] == "waits for second"
    assert stages["first"]["figures"] == {"loss": 1.5, "beta": 0.1}
    assert len(status_lines(status(place.out))) == 4


def test_a_status_shows_what_was_changed(place: Workplace):
    run(place.load(TEXT), place.out, tell=quiet)
    place.file.write_text(TEXT.replace("1e-1", "0.2"))
    first = status(place.out)["stages"]["first"]
    assert (first["does"], first["changes"]) == ("refuse", {"beta": [0.1, 0.2]})


def test_a_status_without_the_recipe_tells_what_the_folder_knows(place: Workplace):
    run(place.load(TEXT), place.out, tell=quiet)
    place.file.unlink()
    told = status(place.out)
    assert "no such recipe" in told["warning"]
    assert [stage["does"] for stage in told["stages"].values()] == ["reuse", "reuse"]


def test_a_folder_that_is_no_run_names_the_runs_in_it(place: Workplace):
    run(place.load(TEXT), place.out, tell=quiet)
    with pytest.raises(MissingInput, match="runs in it: run"):
        status(place.path)
