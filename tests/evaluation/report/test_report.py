"""The report says what the run's folder says."""

import json
import re
import shlex
from hashlib import sha256

import pytest
from evaluation.report.pages import Page, changed, page_of

from burnish.evaluation.report import frontiers
from burnish.evaluation.report.write import write_report
from burnish.training.config import settings_from


def test_it_opens_with_who_answers_better(run_folder):
    text = page_of(run_folder).text
    assert "best, dpo and ppo answer better than sft" in text
    assert "On 500 held-out prompts, judged by judges:favourable-b: best is preferred to sft on 73 % of prompts" in text
    assert "; ppo is preferred to sft on 85 % of prompts [81–87], at 5.4 nats, with answers 16 % shorter." in text


def test_every_figure_of_a_verdict_is_there(run_folder):
    """dpo's, as the synthetic run has them."""
    text = page_of(run_folder).text
    for shown in (
        "79\u202f%",
        "76–82",
        "4.87",
        "± 0.11",
        "−0.43",
        "−3.79",
        "0.57",
        "99\u202f%",
        "20.4",
        "93\u202f%",
        "44.0",
    ):
        assert shown in text


def test_a_win_that_was_bought_is_marked(run_folder):
    """dpo's fluency is 0.48 below sft's, the others' is not more than 0.4 below."""
    page = page_of(run_folder)
    assert "Look at dpo: fluency." in page.text
    assert "Look at ppo" not in page.text
    assert [value for name, value in page.attributes if (name, value) == ("class", "watch")] == ["watch"]


def test_a_gain_that_may_be_length_is_warned_of(run_folder):
    assert "nothing but length" not in page_of(run_folder).text
    equal = {"win_rate_controlled": 0.52, "win_rate_controlled_low": 0.47, "win_rate_controlled_high": 0.57}
    changed(run_folder / "summary.json", lambda s: s["compare"]["dpo"].update(equal))
    assert "At equal length dpo wins 52 % [47–57]: its gain may be nothing but length." in page_of(run_folder).text


def test_rates_at_equal_length_and_strengths_stand_with_their_intervals(run_folder):
    text = page_of(run_folder).text
    assert "74\u202f% 69–79" in text
    assert "0.21 0.12–0.30" in text
    changed(run_folder / "summary.json", lambda s: [v.pop("strength") for v in s["compare"].values()])
    assert "Bradley–Terry" not in page_of(run_folder).text


def test_a_model_that_does_not_win_is_not_said_to(run_folder):
    changed(run_folder / "summary.json", lambda s: s["compare"]["dpo"].update(win_rate_low=0.49))
    assert "best and ppo answer better than sft; dpo does not" in page_of(run_folder).text
    for model in ("best", "ppo"):
        changed(run_folder / "summary.json", lambda s, model=model: s["compare"][model].update(win_rate_low=0.5))
    assert "No model answers better than sft" in page_of(run_folder).text


def test_ten_prompts_stand_with_each_models_answer(run_folder):
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert html.count('<div class="prompt">') == 10
    assert html.count('<div class="answer">') == 40
    rows = [json.loads(line) for line in (run_folder / "compare/samples.jsonl").read_text().splitlines()]
    shown = Page(html).unbroken
    for number in (0, 50, 450):
        for row in rows[number::500]:
            assert row["prompt"] in shown
            assert row["answers"][0].strip() in shown


def test_the_curves_and_the_reward_models_accuracy_are_there(whole_html):
    for label in (
        "Loss of sft",
        "Accuracy of reward",
        "Margin of dpo",
        "Reward of ppo",
        "KL to the reference of ppo",
        "Loss of best",
    ):
        assert f'aria-label="{label} over steps"' in whole_html
    assert "dashed: 68.3\u202f% of held-out pairs" in whole_html


def test_it_says_how_to_repeat_the_run(run_folder):
    text = page_of(run_folder).text
    assert f"burnish demo --seed 1 --out {run_folder}" in text
    assert "torch 2.13.0" in text
    assert "2 threads" in text
    assert "{method: ppo, model: sft, by: reward, prompts: prompts.jsonl, beta: 0.3}" in text
    assert f"sft.jsonl {sha256(b'/b/assets/demo/sft.jsonl').hexdigest()[:10]}" in text


def test_what_was_set_stands_as_it_was_typed(run_folder):
    typed = ["dpo.beta=0.3", "sft.lora.rank=8", "sft.evaluate_on=null", "name='1'"]
    changed(run_folder / "lock.json", lambda lock: lock.update(set=settings_from(typed)))
    text = page_of(run_folder).text
    assert "--set dpo.beta=0.3 --set sft.lora.rank=8 --set sft.evaluate_on=null --set" in text
    again = shlex.split(text[text.index("burnish demo --set") : text.index(" --out")])
    assert settings_from(again[3::2]) == settings_from(typed)


def test_what_was_set_is_quoted_for_a_shell(run_folder):
    given = {"dpo": {"beta": "0.1; rm -rf ~"}}
    changed(run_folder / "lock.json", lambda lock: lock.update(recipe="my recipe.yaml", set=given))
    assert f"burnish run 'my recipe.yaml' --set 'dpo.beta=0.1; rm -rf ~' --out {run_folder}" in page_of(run_folder).text


def test_figures_that_could_not_be_measured_are_dashes(run_folder):
    changed(
        run_folder / "summary.json", lambda s: [v.update(fluency=None, perplexity=None) for v in s["compare"].values()]
    )
    assert re.search(
        r"Fluency mean log-probability a token under the pretrained base – – – –", page_of(run_folder).text
    )


def test_a_second_judges_figures_stand_beside(run_folder):
    told = {"win_rate/judge-a": 0.912, "win_rate_low/judge-a": 0.88, "win_rate_high/judge-a": 0.94, "puns": 0.25}
    changed(run_folder / "summary.json", lambda s: s["compare"]["ppo"].update(told))
    text = page_of(run_folder).text
    assert re.search("Win rate · judge-a [^–]* – – – 91\u202f% 88–94", text)
    assert "puns – – – 0.250" in text


def test_a_held_out_share_has_its_interval(run_folder):
    found = {"heldout_accuracy": 0.683, "heldout_accuracy_low": 0.604, "heldout_accuracy_high": 0.752}
    changed(run_folder / "summary.json", lambda s: s["reward"].update(found))
    changed(run_folder / "reward/DONE.json", lambda done: done["figures"].update(found))
    assert "held-out accuracy 68.3\u202f% (60–75)" in page_of(run_folder).text


def test_who_is_only_reported_does_not_judge(run_folder):
    by = [{"by": "judges:favourable-b", "name": "b"}, {"by": "reward", "weight": 0}, {"by": "ppo", "weight": 0.5}]
    changed(run_folder / "lock.json", lambda lock: lock["stages"]["compare"]["inputs"].update(by=by))
    assert "judged by b, ppo: best is" in page_of(run_folder).text


def test_long_runs_and_long_texts_make_no_long_page(run_folder):
    rows = ({"step": i, "loss": 5 - i / 50_000, "accuracy": i % 7 / 7} for i in range(60_000))
    (run_folder / "sft/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [json.loads(line) for line in (run_folder / "compare/samples.jsonl").read_text().splitlines()]
    (run_folder / "compare/samples.jsonl").write_text(
        "".join(json.dumps(row | {"answers": ["word " * 2000]}) + "\n" for row in lines)
    )
    path = write_report(run_folder)
    assert path.stat().st_size < 500_000
    assert "… (8499 characters more)" in path.read_text(encoding="utf-8")


def test_conversations_show_who_speaks(run_folder):
    prompt = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
    ]
    rows = [{"prompt": prompt, "answers": ["Because 电影."], "model": model} for model in ("sft", "best", "dpo", "ppo")]
    (run_folder / "compare/samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = page_of(run_folder).text
    assert "user: Hi assistant: Hello user: Why?" in text
    assert "Because 电影." in text


def test_steps_of_rounds_go_on(whole_run):
    (whole_run / "best/rounds/2").mkdir()
    (whole_run / "best/rounds/2/metrics.jsonl").write_text('{"step": 1, "loss": 2.9}\n{"step": 2, "loss": 2.8}\n')
    from burnish.evaluation.report.run import read_run

    stage = next(stage for stage in read_run(whole_run).stages if stage.name == "best")
    assert [row["step"] for row in stage.metrics] == list(range(1, 63))


def test_what_is_measured_between_rounds_counts_rounds_and_moves_no_step(whole_run):
    lines = [f'{{"step": {number}, "heldout_reward": {number}, "heldout_kl": {number}}}\n' for number in (0, 1)]
    (whole_run / "best/metrics.jsonl").write_text("".join(lines))
    from burnish.evaluation.report.run import read_run

    stage = next(stage for stage in read_run(whole_run).stages if stage.name == "best")
    assert [row["step"] for row in stage.metrics if "heldout_reward" in row] == [0, 1]
    assert [row["step"] for row in stage.metrics if "loss" in row] == list(range(1, 61))


# ---- what stands beside the verdicts


def test_the_three_aims_are_columns_where_more_than_the_win_rate_is_known(full_run):
    text = page_of(full_run).text
    assert re.search("Human-like .* Useful .* Safe .* dpo 71\u202f% 66–76 79\u202f% 76–82 90\u202f% 87–93", text)
    changed(full_run / "summary.json", lambda s: [v.pop("told_apart") and v.pop("safe") for v in s["compare"].values()])
    assert "Human-like" not in page_of(full_run).text


def test_a_stage_that_only_measures_has_its_figures_and_no_winner(run_folder):
    told = {"refused_harmful": 0.8, "refused_harmful_low": 0.75, "refused_harmful_high": 0.84, "suite_prompts": 970.0}
    apart = {"refused_harmful_difference": -0.05, "refused_harmful_difference_low": -0.08}
    apart |= {"refused_harmful_difference_high": -0.02, "refused_harmful/XSTest": 0.7}
    (run_folder / "summary.json").write_text(json.dumps({"safety": {"sft": told, "dpo": {**told, **apart}}}))
    (run_folder / "compare/DONE.json").unlink()
    text = page_of(run_folder).text
    assert "sft and dpo measured" in text
    assert "80\u202f% 75–84 80\u202f% 75–84; −5 to the first (−8 to −2)" in text
    assert re.search("Refused, harmful · XSTest [a-z ]* – 70\u202f%", text)
    assert "Which model answers better" not in text


def test_the_best_of_n_stands_on_the_axes_of_the_models(full_run):
    html = write_report(full_run).read_text(encoding="utf-8")
    assert "best of 16" in html
    assert "dashed: its best of n answers" in html
    (full_run / "compare/best_of_n.jsonl").unlink()
    assert "best of" not in Page(write_report(full_run).read_text(encoding="utf-8")).text.replace("best of n", "")


@pytest.mark.parametrize(
    "other", [{"model": "ppo"}, {"judge": "reward"}, {"judge": None}, {"prompts": ["train.jsonl"]}]
)
def test_the_best_of_n_of_another_model_judge_or_prompts_is_not_drawn(full_run, other):
    (full_run / "compare/best_of_n.jsonl").rename(full_run / "answers/best_of_n.jsonl")

    def draws(**inputs):
        changed(full_run / "lock.json", lambda lock: lock["stages"]["answers"]["inputs"].update(inputs))
        return write_report(full_run).read_text(encoding="utf-8")

    same = {"by": "reward", "judge": "judges:favourable-b", "prompts": ["/b/assets/demo/heldout.jsonl"]}
    assert "best of 16" in draws(**same)
    assert "best of 16" not in draws(**(same | other))


def test_a_sweep_is_one_curve_in_the_order_of_its_kl():
    verdicts = {name: {"kl": kl} for name, kl in (("sft", 0), ("dpo/beta=0.1", 4), ("dpo/beta=0.3", 1), ("ppo", 2))}
    assert frontiers.sweeps(list(verdicts), verdicts) == [["dpo/beta=0.3", "dpo/beta=0.1"]]


def test_a_reward_models_certainty_is_held_to_how_often_it_is_right(full_run):
    html = write_report(full_run).read_text(encoding="utf-8")
    assert "190 pairs of which it is 55\u202f% sure, 52\u202f% right (45–60)" in html
    (full_run / "reward/evaluation.json").write_text("{")
    text = page_of(full_run).text
    assert "How sure, how right" not in text
    assert "reward/evaluation.json: damaged; left out" in text


# ---- which way log-probabilities went


def gains(folder, chosen, rejected, name="gain"):
    rows = [{"step": s, f"{name}_chosen": chosen * s / 100, f"{name}_rejected": rejected * s / 100} for s in range(101)]
    (folder / "dpo/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_trackers_that_failed_and_batches_that_were_left_out_are_told(run_folder):
    state = {"run": "r", "sent": 3, "failed": 5, "why": "HTTPError: <500>", "gave_up": True}
    (run_folder / "sft/track").mkdir(parents=True)
    (run_folder / "sft/track/wandb.json").write_text(json.dumps(state))
    summary = json.loads((run_folder / "summary.json").read_text())
    summary["sft"]["skipped"] = 2
    (run_folder / "summary.json").write_text(json.dumps(summary))
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert "▾ Tracker wandb failed, times: 5 (last: HTTPError: &lt;500&gt;)." in html
    assert "<span>batches left out <b>2</b></span>" in html


def test_it_is_said_where_chosen_and_rejected_went(run_folder):
    """The last ten of 101 steps: their mean is 0.955 of the last one."""
    gains(run_folder, -3.1, -9.4)
    text = page_of(run_folder).text
    assert "Both fell: better −3.0, worse −9.0 nats an answer over the reference" in text
    assert "What was preferred has become less likely (−3.0 nats)" in text
    gains(run_folder, 2, -4)
    text = page_of(run_folder).text
    assert "The better rose and the worse fell: +1.9 and −3.8 nats" in text
    assert "less likely" not in text


def test_a_small_fall_and_one_that_was_meant_are_not_warned_of(run_folder):
    gains(run_folder, -1, -3)
    assert "less likely" not in page_of(run_folder).text
    gains(run_folder, -3, -9)
    changed(run_folder / "lock.json", lambda lock: lock["stages"]["dpo"]["settings"].update(loss="apo_down"))
    assert "less likely" not in page_of(run_folder).text


def test_without_a_reference_the_change_since_the_start_is_told(run_folder):
    """Means of steps 91 to 100 less those of 0 to 9: 91 hundredths."""
    gains(run_folder, 10, -10, name="logp")
    assert "+9.1 and −9.1 nats an answer from the first tenth of the steps to the last" in page_of(run_folder).text


# ---- what it took


def test_time_pace_memory_and_cost_of_each_stage_are_told(whole_html, run_folder):
    """ppo: 71.5 of 282.4 s, 600 tokens in 0.2 s; at 36 an hour a second costs a hundredth."""
    text = Page(whole_html).text
    assert re.search("ppo 1\u202fmin 12\u202fs 25\u202f% 3\u202f000 1.25 0.7[12] 2026-11-24 17:06:09 UTC", text)
    assert "all 4\u202fmin 42\u202fs" in text
    assert "2.82" in text
    assert "At 36.00 an hour." in text
    assert "an hour" not in page_of(run_folder).text.split("What it took")[1]
