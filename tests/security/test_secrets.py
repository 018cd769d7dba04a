"""Secrets in settings, addresses and the environment: a real run of four stages leaves none in its folder."""

import json
from pathlib import Path

import pytest
from rewards.served import reply, serving

from burnish.cli.main import main
from burnish.data.secrets import MASK, masked

CANARIES = {
    "SCORER_TOKEN": "canary-bearer-0001",
    "HF_TOKEN": "canary-of-the-hub-0002",
    "AWS_SECRET_ACCESS_KEY": "canary+of/the=cloud-0003",
    "DB_PASSWORD": "canary-of-a-base-0004",
}
QUERY = "canary-in-a-query-0005"
WRITTEN = "hf_canaryinthemodelshub0006"
RECIPE = """\
# {written} stands in a comment
name: secret
model: {model}
roots: [{root}]
max_length: 64
stages:
  sft:     {{method: sft, model: base, data: demos.jsonl, steps: 2, save_every: 1, batch_size: 2}}
  answers: {{method: generate, model: sft, prompts: demos.jsonl, samples: 2, max_new_tokens: 4,
             stop: ["{written}", "{password}"]}}
  ranking: {{method: rank, answers: answers, by: {{by: "{url}?api_key={query}", token_env: SCORER_TOKEN}}}}
  grpo:    {{method: grpo, model: sft, prompts: demos.jsonl, samples: 2, steps: 2, batch_size: 2, save_every: 1,
             by: {{by: "{url}?api_key={query}", token_env: SCORER_TOKEN}}, sampling: {{max_new_tokens: 4}}}}
"""


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    return [*CANARIES.values(), QUERY, WRITTEN]


def test_no_secret_reaches_a_file_of_a_run_or_the_screen(
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    canaries: list[str],
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": f"{i} + 1 = ", "response": str(i + 1)} for i in range(4)]
    Path("demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def lengths(handler, question):
        reply(handler, json.dumps({"scores": [float(len(answer)) for answer in question["answers"]]}).encode())

    with serving(lengths) as (url, asked):
        words = {"model": tiny_model, "root": tiny_model.parent, "url": url, "query": QUERY, "written": WRITTEN}
        Path("recipe.yaml").write_text(RECIPE.format(**words, password=CANARIES["DB_PASSWORD"]))
        code = main(["run", "recipe.yaml"])
        told = capfd.readouterr()
        assert code == 0, told.err
        assert asked[0][1]["Authorization"] == f"Bearer {CANARIES['SCORER_TOKEN']}", "it was used"
        assert main(["status", "runs/secret"]) == main(["plan", "recipe.yaml"]) == 0
        shown = told.out + told.err + "".join(capfd.readouterr())
    files = [path for path in Path("runs").rglob("*") if path.is_file()]
    assert len(files) > 25
    found = {str(path): canary for path in files for canary in canaries if canary.encode() in path.read_bytes()}
    assert found == {}
    assert not [canary for canary in canaries if canary in shown]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("hf_abcdefghij and sk-abcdefghij", f"{MASK} and {MASK}"),
        ("ghp_abcdefghij, glpat-abcdefghij, xoxb-abcdefghij", f"{MASK}, {MASK}, {MASK}"),
        ("AKIAABCDEFGHIJKLMNOP", MASK),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", MASK),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {MASK}"),
        ("https://user:word@host/a", f"https://{MASK}@host/a"),
        ("https://host/a?token=abc&b=c", f"https://host/a?token={MASK}&b=c"),
        ("https://host/a?b=c&api_key=abc#d", f"https://host/a?b=c&api_key={MASK}#d"),
        ("https://host/a?X-Amz-Signature=abc", f"https://host/a?X-Amz-Signature={MASK}"),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_what_stands_around_it_is_not(text: str, shown: str):
    assert masked({"text": [text]}) == {"text": [shown]}


@pytest.mark.parametrize("text", ["risk-averse", "a monkey=see", "max_new_tokens: 64", "https://host/a?n=1", "Basic "])
def test_ordinary_text_stays(text: str):
    assert masked(text) == text
