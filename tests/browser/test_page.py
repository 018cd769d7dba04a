"""What the page does with keys, touches, hostile text and a network that goes away."""

import re
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest
from browser.people import Person, in_both_languages
from feedback.served import Served
from playwright.sync_api import Route, expect

from burnish.feedback.records import Item, Ranking
from burnish.feedback.store import Store
from burnish.types import Answer, Group, Message

HOSTILE = (
    "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    "[click](javascript:document.title='owned') <svg/onload=document.title='owned'> **bold**",
    "right\u202eto left, zero\u200bwidth, \x1b[31mred\x1b[0m",
    "long " * 200_000,
)


def item(name: str, *answers: str) -> Item:
    return Item(Group(f"Question {name}?", tuple(Answer(text) for text in answers), id=name))


def kept(served: Served) -> list[Ranking]:
    """The rankings by people in the store."""
    with Store.open(served.store) as store:
        return list(store.rankings(layers=["people"]))


def places(person: Person, ranking: Ranking) -> str:
    """A stored ranking in the letters that the person saw."""
    by_place: dict[int, list[str]] = {}
    for place, shown in zip(ranking.place_K, ranking.shown_K, strict=True):
        by_place.setdefault(place, []).append(chr(65 + shown))
    return ">".join("=".join(sorted(by_place[place])) for place in sorted(by_place))


def test_hostile_text_is_shown_and_does_nothing(serve: Callable[..., Served], come: Callable[..., Person]):
    prompt = (Message("user", HOSTILE[0]), Message("assistant", HOSTILE[1]), Message("user", HOSTILE[2]))
    served = serve([Item(Group(prompt, tuple(map(Answer, HOSTILE)), id="hostile"))], "ann")
    person = come(served, "ann")
    asked: list[str] = []
    person.page.on("request", lambda request: asked.append(request.url))
    texts = person.answers()
    assert {HOSTILE[0], HOSTILE[1], HOSTILE[3]} <= set(texts)
    assert "right⟨U+202E⟩to left, zero⟨U+200B⟩width, ␛[31mred␛[0m" in texts
    for key in ("m", "1", "d", "m", "d"):
        person.press(key)
    person.press("m")
    expect(person.page.locator(".text strong")).to_have_text("bold")
    person.press("Shift+B", "2", "Shift+C", "3", "Shift+D", "4", "Shift+A", "1")
    made = person.page.locator(".card, .prompt").locator("script, img, svg, a, iframe, [onerror], [onload], [style]")
    assert made.count() == 0
    person.submit()
    assert person.page.title() == "Rank the answers"
    assert {url.split("/api/")[0] for url in asked} == {served.address}
    assert person.faults == []


def test_a_draft_that_comes_back_late_does_not_unsay_that_all_is_saved(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    person = come(serve([item("a", "one", "two"), item("b", "one", "two")], "ann"), "ann")
    held: list[Route] = []
    person.page.route(re.compile("/api/(draft|next)$"), lambda route: held.append(route))
    before = person.prompt
    with person.page.expect_request("**/api/draft"):
        person.press("1", "2")
    with person.page.expect_request("**/api/next"):
        person.press("Enter")
    person.saved()
    with person.page.expect_response("**/api/draft"):
        held[0].fulfill(json={})
    person.page.evaluate("() => new Promise(requestAnimationFrame)")
    person.saved()
    held[1].continue_()
    person.left(before)
    person.saved()


def test_every_action_has_its_key(serve: Callable[..., Served], come: Callable[..., Person]):
    person = come(serve([item("a", "one", "two", "three", "four")], "ann"), "ann")
    for keys, order, said in [
        (["2"], "A", "A moved to rank 2 of 4"),
        (["1"], "B>A", "B moved to rank 1 of 4"),
        (["1"], "B=C>A", "C ties with B at rank 1"),
        (["4"], "B=C>A>D", "D moved to rank 3 of 4"),
        (["Shift+C", "Shift+ArrowDown"], "B>C>A>D", "C moved to rank 2 of 4"),
        (["k", "Shift+ArrowDown"], "C>B>A>D", "B moved to rank 2 of 4"),
        (["="], "B=C>A>D", "B ties with C at rank 1"),
        (["Shift+ArrowUp"], "B>C>A>D", "B moved to rank 1 of 4"),
        (["j", "n"], "B>C>|>A>D", "Acceptable: B, C"),
        (["n"], "B>|>C>A>D", "Acceptable: B"),
        (["n"], "B>C>A>D", "No line between acceptable and not"),
        (["Escape"], "B>A>D", "C has no rank"),
        (["Enter"], "B>A>D", "Not ranked yet: C"),
        (["="], "B>A>C=D", "C ties with D at rank 3"),
    ]:
        person.press(*keys)
        assert person.order() == order, keys
        person.shows(said)
    focused = "document.activeElement.dataset.answer"
    for key, answer in {"ArrowLeft": 1, "k": 0, "ArrowRight": 1, "j": 2, "Shift+D": 3}.items():
        person.press(key)
        assert person.page.evaluate(focused) == str(answer), key
    person.press("f", "2", "Enter")
    person.shows("D flagged: Wrong language")
    assert person.page.evaluate(focused) == "3"
    for key, name in {"z": "A guess", "x": "Fairly", "c": "Very", "m": "Formatted", "d": "Differences"}.items():
        person.press(key)
        expect(person.page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
    assert person.faults == []


def test_what_was_decided_is_what_is_stored(serve: Callable[..., Served], come: Callable[..., Person]):
    served = serve([item("a", "one", "two", "three")], "ann")
    person = come(served, "ann")
    person.press("2", "1", "3", "=", "Shift+B", "n", "x", "f", "1", "4", "Enter")
    assert person.order() == "B>|>A=C"
    person.submit()
    (ranking,) = kept(served)
    assert places(person, ranking) == "B>A=C"
    assert (ranking.acceptable, ranking.confidence, ranking.mode) == (1, 2, "place")
    assert ranking.flag_K[ranking.shown_K.index(1)] == ("unsafe", "identity leak")


def test_pairs_give_the_order_and_one_question_is_asked_twice(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    """The taste is by number. Five answers: at most eight questions to sort them, and one more as a check."""
    served = serve([item("a", "10", "20", "30", "40", "50")], "ann")
    person = come(served, "ann")
    person.press("i")
    heading = person.page.locator(".pair h2")
    asked, taken_back = 0, False
    while heading.count():
        assert asked < 10
        left, right = map(int, person.page.locator(".pair .text").all_text_contents())
        person.press("1" if left > right else "2")
        asked += 1
        if asked == 2 and not taken_back:
            person.press("u")  # and answer it again
            asked, taken_back = 1, True
            assert person.page.inner_text(".pair .small").startswith("Question 2 ")
    person.shows("All compared. Look at the order, correct it if need be, and submit.")
    texts = person.answers()
    assert [texts[ord(letter) - 65] for letter in person.order().split(">")] == ["50", "40", "30", "20", "10"]
    person.submit()
    (ranking,) = kept(served)
    assert ranking.mode == "insertion"
    assert ranking.place_K == (4, 3, 2, 1, 0)
    assert len(ranking.comparisons) == asked <= 9
    pairs = [frozenset(pair[:2]) for pair in ranking.comparisons]
    assert pairs[-1] not in pairs[:-1]  # known through others only, until it was asked
    for one, other, sign in ranking.comparisons:
        assert sign == (">" if one > other else "<")


def test_one_of_sixteen_is_picked_by_one_key(serve: Callable[..., Served], come: Callable[..., Person]):
    group = item("a", *(f"answer {number}" for number in range(16))).group
    served = serve([Item(group, task="pick"), Item(replace(group, id="b"), task="pick")], "ann")
    person = come(served, "ann")
    person.press("Enter")
    person.shows("Pick the best answer, or say that none is good enough.")
    person.press("3", "Shift+N", "Shift+ArrowUp", "=", "i")
    person.shows("N is picked")
    assert person.order() == "N"
    troubles: list[str] = []
    in_both_languages(person, "pick", troubles)
    assert troubles == []
    person.press("f", "3", "Escape", "Enter")
    person.saved()
    person.shows("Saved. Next item.")
    person.press("1", "n")
    person.shows("None is good enough")
    person.press("Enter")
    expect(person.page.locator(".notice h2")).to_have_text("All done")
    picked, none = kept(served)
    assert [shown for shown, place in zip(picked.shown_K, picked.place_K, strict=True) if place == 0] == [13]
    assert (picked.mode, picked.acceptable) == ("pick", None)
    assert picked.flag_K[picked.shown_K.index(13)] == ("broken",)
    assert (set(none.place_K), none.acceptable) == ({0}, 0)


def test_of_two_answers_one_key_says_which_is_better_and_goes_on(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    served = serve([Item(item(name, "good", "bad").group, task="pair") for name in "abcd"], "ann")
    person = come(served, "ann")
    troubles: list[str] = []
    in_both_languages(person, "verdict", troubles)
    assert troubles == []
    person.press("Enter")
    person.shows("Say which is better, or that they are about the same.")
    person.press("i", "n", "3", "d")  # what makes an order does nothing here
    decided: list[str] = []
    for does in ("1", "ArrowRight", "="):
        decided.append(person.prompt)
        person.press(does)
        person.left(decided[-1])
        person.saved()
    person.press("u")
    expect(person.page.locator(".prompt .said")).to_have_text(decided[-1])
    expect(person.page.get_by_role("button", name="About the same")).to_have_attribute("aria-pressed", "true")
    person.press("2")
    person.left(decided[-1])
    person.page.get_by_role("button", name="A is better").click()
    expect(person.page.locator(".notice h2")).to_have_text("All done")
    made = {f"Question {ranking.item}?": ranking for ranking in kept(served)}
    shown = ["A>B", "B>A", "B>A"]
    assert [places(person, made.pop(prompt)) for prompt in decided] == shown
    (last,) = made.values()
    assert (places(person, last), last.mode, last.task) == ("A>B", "pair", "pair")
    assert person.faults == []


def test_of_two_texts_one_key_says_which_a_person_wrote(serve: Callable[..., Served], come: Callable[..., Person]):
    served = serve([Item(item(name, "good", "bad").group, task="person") for name in "ab"], "ann")
    person = come(served, "ann")
    troubles: list[str] = []
    in_both_languages(person, "which a person wrote", troubles)
    assert troubles == []
    expect(person.page.get_by_role("heading", name="Which was written by a person, A or B?")).to_be_visible()
    person.press("Enter")
    person.shows("Say which was written by a person, or that you cannot tell.")
    first = person.prompt
    person.press("1")
    person.left(first)
    second = person.prompt
    person.page.get_by_role("button", name="I cannot tell").click()
    expect(person.page.locator(".notice h2")).to_have_text("All done")
    made = {f"Question {ranking.item}?": ranking for ranking in kept(served)}
    assert [places(person, made[prompt]) for prompt in (first, second)] == ["A>B", "A=B"]
    assert {(one.task, one.mode) for one in made.values()} == {("person", "person")}
    assert person.faults == []


def test_keys_without_ctrl_can_be_turned_off_and_never_act_while_one_types(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    person = come(serve([item("a", "one", "two")], "ann"), "ann")
    person.press("Control+1", "Alt+1")
    assert person.order() == ""
    person.press("?")
    person.page.get_by_label("Colours").focus()
    person.press("1", "s")
    expect(person.page.locator("dialog")).to_have_count(1)
    person.page.get_by_label(re.compile("Use keys without")).press("Space")
    person.press("Escape", "1", "s")
    assert person.order() == ""
    expect(person.page.locator("dialog")).to_have_count(0)
    person.press("Shift+ArrowDown")
    assert person.order() == "A"
    person.page.reload()
    person.page.wait_for_selector(".card")
    person.press("Shift+B", "1")
    assert person.order() == "A"


def test_a_finger_does_all_that_keys_do(serve: Callable[..., Served], come: Callable[..., Person]):
    served = serve([item("a", "one", "two", "three")], "ann")
    person = come(served, "ann", viewport={"width": 390, "height": 844}, has_touch=True)
    tap = lambda name: person.page.get_by_role("button", name=name, exact=True).tap()  # noqa: E731
    for letter, rank in (("A", 2), ("B", 1), ("C", 3)):
        person.page.get_by_role("button", name=re.compile(f"^Answer {letter},")).tap()
        person.page.locator(".card.current").get_by_role("button", name=f"Rank {rank}", exact=True).tap()
    assert person.order() == "B>A>C"
    tap("Move C up")
    assert person.order() == "B>C>A"
    tap("Flag answer C")
    person.page.get_by_label("Unsafe").tap()
    tap("Close")
    tap("None is acceptable")
    assert person.order() == "|>B>C>A"
    person.page.get_by_role("button", name="Very").tap()
    person.page.get_by_role("button", name="Submit").tap()
    person.saved()
    (ranking,) = kept(served)
    assert (places(person, ranking), ranking.acceptable, ranking.confidence) == ("B>C>A", 0, 3)


def test_a_ranking_that_could_not_be_sent_is_sent_after_a_reload(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    """Submitted while the server is away, the tab closed, another one opened when it is back."""
    served = serve([item("a", "one", "two"), item("b", "one", "two")], "ann")
    person = come(served, "ann")
    first = person.prompt
    person.press("2", "1")
    served.stop(signal.SIGKILL)
    person.press("Enter")
    expect(person.page.locator(".banner")).to_be_visible()
    expect(person.page.locator(".saved")).to_have_text("Saving…")
    context = person.page.context
    person.page.close()
    assert kept(served) == []
    served.start()
    again = Person(context.new_page(), served.address)
    again.saved()
    again.left(first)
    (ranking,) = kept(served)
    assert places(person, ranking) == "B>A"


def test_a_draft_that_the_server_never_saw_comes_back(serve: Callable[..., Served], come: Callable[..., Person]):
    served = serve([item("a", "one", "two", "three")], "ann")
    person = come(served, "ann")
    person.page.context.set_offline(True)
    person.press("2", "1", "z")
    expect(person.page.locator(".banner")).to_be_visible()
    person.page.get_by_role("button", name="Try now").click()
    expect(person.page.locator(".banner")).to_be_visible()
    person.page.context.set_offline(False)
    expect(person.page.locator(".banner")).to_be_hidden()
    expect(person.page.locator(".saved")).to_have_text("Draft kept")
    person.page.reload()
    person.page.wait_for_selector(".card")
    assert person.order() == "B>A"


def test_what_was_changed_after_an_undo_outlives_a_reload(serve: Callable[..., Served], come: Callable[..., Person]):
    served = serve([item("a", "one", "two"), item("b", "one", "two")], "ann")
    person = come(served, "ann")
    first = person.prompt
    person.press("1", "2")
    person.submit()
    second = person.prompt
    person.press("u")
    person.left(second)
    assert (person.prompt, person.order()) == (first, "A>B")
    person.press("Shift+ArrowDown")
    assert person.order() == "B>A"
    expect(person.page.locator(".saved")).to_have_text("Draft kept")
    person.page.reload()
    person.page.wait_for_selector(".card")
    assert (person.prompt, person.order()) == (first, "B>A")


def test_the_digit_of_a_reason_to_skip_is_no_rank(serve: Callable[..., Served], come: Callable[..., Person]):
    person = come(serve([item("a", "one", "two")], "ann"), "ann")
    drafts: list[str] = []
    person.page.on("request", lambda request: request.url.endswith("/api/draft") and drafts.append(request.url))
    person.press("s", "2")
    expect(person.page.locator(".notice h2")).to_have_text("All done")
    person.press("u")
    person.shows("Back at the item before.")
    person.page.wait_for_timeout(500)  # a draft is sent 400 ms after a change
    assert (person.order(), drafts) == ("", [])


def test_a_second_tab_goes_on_where_the_first_one_was(serve: Callable[..., Served], come: Callable[..., Person]):
    served = serve([item("a", "one", "two"), item("b", "one", "two")], "ann")
    person = come(served, "ann")
    second = Person(person.page.context.new_page(), served.address)
    assert second.prompt == person.prompt
    second.press("1", "2")
    second.submit()
    before = person.prompt
    person.press("2", "1", "Enter")
    person.left(before)
    person.shows("That item was done already, in another tab or window. Here is the next.")
    assert len(kept(served)) == 1


def test_another_language_keeps_what_was_done(serve: Callable[..., Served], come: Callable[..., Person]):
    person = come(serve([item("a", "one", "two")], "ann"), "ann")
    person.press("2", "1", "x", "?")
    person.page.get_by_label("Language").select_option("zh")
    expect(person.page.locator("dialog h2")).to_have_text("按键与设置")
    person.press("Escape")
    assert person.page.locator("html").get_attribute("lang") == "zh-Hans"
    assert person.order() == "B>A"
    expect(person.page.locator(".saved")).to_have_text("草稿已保留")
    person.page.reload()
    person.page.wait_for_selector(".card")
    assert person.page.title() == "回答排序"
    assert person.order() == "B>A"
    person.submit()
    expect(person.page.locator(".notice h2")).to_have_text("全部完成")
    expect(person.page.locator(".saved")).to_contain_text("已保存")
    person.press("?")
    person.page.get_by_label("语言").select_option("en")
    expect(person.page.locator("dialog h2")).to_have_text("Keys and settings")
    person.press("Escape")
    expect(person.page.locator(".notice h2")).to_have_text("All done")
    expect(person.page.locator(".saved")).to_contain_text("Saved")


@pytest.mark.parametrize(("text", "direction"), [("مرحبا بالعالم", "rtl"), ("hello", "ltr")])
def test_text_reads_in_its_own_direction(
    serve: Callable[..., Served], come: Callable[..., Person], text: str, direction: str
):
    person = come(serve([item("a", text, text + "!")], "ann"), "ann")
    for found in (".card .text", ".excerpt"):
        style = "(element) => getComputedStyle(element).direction"
        assert person.page.locator(found).first.evaluate(style) == direction


def test_a_used_link_says_so_and_the_token_leaves_the_address(
    serve: Callable[..., Served], come: Callable[..., Person]
):
    served = serve([item("a", "one", "two")], "ann")
    first = come(served, "ann")
    assert "#" not in first.page.url
    second = come(served, "ann")
    expect(second.page.locator(".notice h2")).to_have_text("Your link is needed")
