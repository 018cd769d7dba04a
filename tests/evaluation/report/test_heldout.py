"""What the report says of a run's held-out evaluations: of five, the last two with reward and judge apart."""

import re

import pytest
from evaluation.report.made_up import EVALUATIONS as STEPS
from evaluation.report.made_up import write_more

from burnish.evaluation.report.write import write_report

PICTURES = ("reward of ppo over its KL", "reward of ppo over steps", "judge's score of ppo over steps")


@pytest.fixture
def evaluated(run_folder):
    write_more(run_folder)
    return run_folder


def test_reward_over_kl_and_beside_the_judge_is_drawn(evaluated):
    html = write_report(evaluated).read_text(encoding="utf-8")
    assert "ppo on held-out prompts" in html
    assert "At each of 5 evaluations it answered the same 64 prompts" in html
    for label in PICTURES:
        assert f'aria-label="Held-out {label.replace(chr(39), "&#x27;")}"' in html


def test_where_reward_and_judge_part_is_marked(evaluated):
    assert "▾ After steps 30 and 40 the reward had risen" in write_report(evaluated).read_text(encoding="utf-8")
    metrics = evaluated / "ppo/metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"heldout_parted": 1.0', '"heldout_parted": 0.0'))
    assert "over-optimised" not in write_report(evaluated).read_text(encoding="utf-8")


def test_answers_at_the_first_the_middle_and_the_last_evaluation_stand_beside_each_other(evaluated):
    html = re.sub("</?mark>", "", write_report(evaluated).read_text(encoding="utf-8"))
    for place in range(10):
        at = [html.find(f"said {place} at {step} &lt;b&gt;") for step in STEPS]
        assert -1 < at[0] < at[2] < at[4]
        assert at[1] == at[3] == -1
    assert html.count("0.50, judge −1.25") == 30


def test_a_run_without_evaluations_has_no_such_section(run_folder):
    assert "on held-out prompts</h2>" not in write_report(run_folder).read_text(encoding="utf-8")
