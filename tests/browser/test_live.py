"""One whole pass of live collection: type, watch, rank, go on, export, and read what was exported."""

import json
from collections.abc import Callable
from pathlib import Path

from browser.people import Person, held, in_both_languages
from feedback.served import Served
from playwright.sync_api import Response, expect
from tiny import byte_tokenizer, tiny_llama

from burnish.cli.main import main
from burnish.data.read import read
from burnish.feedback.page.shown import visible
from burnish.models.load import load_policy
from burnish.training.identity import weights_hash

OPTIONS = ("--answers", "4", "--set", "max_new_tokens=64", "--set", "template=dialogue", "--set", "max_length=240")


def test_somebody_types_watches_ranks_goes_on_and_the_export_knows_who_wrote_what(
    serve: Callable[..., Served], come: Callable[..., Person], tiny_model: Path, tmp_path: Path
):
    other = tmp_path / "second-author"
    tiny_llama(seed=1).save_pretrained(other)
    byte_tokenizer().save_pretrained(other)
    served = serve([], "ann", options=("--live", str(tiny_model), "--live", str(other), *OPTIONS))
    person = come(served, "ann")
    looks: list[dict[str, object]] = []
    seen: list[str] = []

    def heard(response: Response) -> None:
        if "/api/" in response.url:
            seen.append(response.text())
        if response.url.endswith("/api/written"):
            looks.append(response.json())

    person.page.on("response", heard)
    troubles: list[str] = []
    in_both_languages(person, "compose", troubles)
    person.page.locator("#typed").fill("What is the sea?")
    person.page.reload()
    expect(person.page.locator("#typed")).to_have_value("What is the sea?")
    person.page.locator("#typed").press("Control+Enter")
    person.shows("All is written. Rank the answers.")
    assert looks[0]["item"] is None
    first = person.answers()
    for look in looks:
        assert all(whole.startswith(part) for whole, part in zip(first, look["answers"], strict=True))  # type: ignore[arg-type]
    person.press("2", "1", "3", "3", "Enter")
    expect(person.page.locator(".compose h2")).to_have_text("Go on with the best answer")
    person.saved()
    in_both_languages(person, "go on", troubles)
    person.page.get_by_label("Go on with the best answer").fill("And the land?")
    with held(person.page, "**/api/written"):
        person.page.get_by_role("button", name="Send").click()
        expect(person.page.locator(".writing")).to_be_visible()
        in_both_languages(person, "writing", troubles)
    assert troubles == []
    person.shows("All is written. Rank the answers.")
    said = person.page.locator(".prompt .said").all_text_contents()
    assert said == ["What is the sea?", first[1], "And the land?"]
    second = person.answers()
    person.page.reload()
    person.page.wait_for_selector(".card")
    assert person.answers() == second
    person.press("1", "2", "3", "4", "Enter")
    person.page.locator(".compose").get_by_role("button", name="Undo").click()
    expect(person.page.locator(".places li")).to_have_text(["A", "B", "C", "D"])
    person.press("Enter")
    expect(person.page.locator(".compose [role=status]")).to_have_text("Saved.")
    assert person.faults == []
    for secret in ("second-author", tiny_model.name + '"', "seed", "tokens", "logprob"):
        assert secret not in "".join(seen)
    served.stop()

    out = tmp_path / "rankings.jsonl"
    assert main(["rank", "export", "--store", str(served.store), "--out", str(out)]) == 0
    one, two = read(out, kind="ranking")
    best, *others = one.order or ()
    assert [visible(one.answers[answer].text) for answer in best] == [first[1]]
    assert len(others) == 2, "the last two tie"
    assert [turn.content for turn in two.prompt][-1] == "And the land?"  # type: ignore[union-attr]
    hashes = {folder.name: weights_hash(load_policy(folder)) for folder in (tiny_model, other)}
    for group in (one, two):
        assert group.extra["models"] == hashes
        assert group.extra["kind"] == "live"
        assert [answer.source for answer in group.answers] == [name for name in hashes for _ in range(2)]
        assert all(answer.tokens for answer in group.answers)
    assert json.loads(out.read_text().splitlines()[0])["sampling"]["max_new_tokens"] == 64
