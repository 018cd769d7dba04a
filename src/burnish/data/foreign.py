"""Formats of other tools, one small function each: chats, Alpaca, ShareGPT, HH, TRL, Label Studio, Argilla, votes."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.data import fields
from burnish.data.fields import Row
from burnish.data.formats import answer_or_whole, answers_of, compared, conversation, group, spoken
from burnish.data.problems import RowError, described, listed
from burnish.types import Answer, Group, Message, Order, Prompt

# ---- conversations


def _with_tools(turns: tuple[Message, ...], row: Row) -> tuple[Message, ...]:
    """A row's list of tools travels with its first turn, where the template looks for it."""
    tools = row.get("tools")
    if not tools:
        return turns
    first = turns[0]
    return (Message(first.role, first.content, {**first.extra, "tools": tools}), *turns[1:])


def read_messages(row: Row) -> list[Group]:
    """`messages` with an assistant turn: what stands before the first one is the prompt."""
    turns = _with_tools(fields.messages(fields.need(row, "messages")), row)
    prompt, answer = conversation(turns, "messages")
    return [group(prompt, [answer], row, "messages", "tools")]


def read_messages_prompt(row: Row) -> list[Group]:
    """`messages` that end with a user turn."""
    turns = _with_tools(fields.messages(fields.need(row, "messages")), row)
    return [group(fields.asked(turns, "messages"), [], row, "messages", "tools")]


def ends_with_assistant(row: Row) -> bool:
    """Whether the last of `messages` is an assistant's: then it is a demonstration, else a prompt."""
    turns = row.get("messages")
    last = turns[-1] if isinstance(turns, list | tuple) and turns else None
    return isinstance(last, Mapping) and last.get("role") == "assistant"


SHAREGPT = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
}


def read_sharegpt(row: Row) -> list[Group]:
    """`conversations` of {"from", "value"}; a column `system` goes before them."""
    said = fields.need(row, "conversations")
    if not isinstance(said, list | tuple) or not said:
        raise RowError(f"conversations must be a list of turns, found {described(said)}")
    openai = [isinstance(turn, Mapping) and "role" in turn for turn in said]
    if all(openai):
        turns = fields.messages(said, "conversations")
    else:
        if any(openai):
            raise RowError("conversations mixes `from` and `role`; use one of the two in the whole row")
        turns = tuple(_sharegpt_turn(turn, f"conversations[{index}]") for index, turn in enumerate(said))
    if isinstance(row.get("system"), str) and row["system"].strip() and turns[0].role != "system":
        turns = (Message("system", row["system"]), *turns)
    prompt, answer = conversation(turns, "conversations")
    return [group(prompt, [answer], row, "conversations", "system")]


def _sharegpt_turn(turn: object, name: str) -> Message:
    if not isinstance(turn, Mapping) or "from" not in turn:
        raise RowError(f'{name} must be an object with "from" and "value", found {described(turn)}')
    speaker, value = turn["from"], turn.get("value")
    if not isinstance(speaker, str) or speaker not in SHAREGPT:
        raise RowError(f"{name}: from {described(speaker)} is unknown; choose one of {', '.join(SHAREGPT)}")
    if not isinstance(value, str):
        raise RowError(f"{name}: value must be text, found {described(value)}")
    return Message(SHAREGPT[speaker], value)


def read_alpaca(row: Row) -> list[Group]:
    """`instruction`, `input` where it is not blank, `output`; LLaMA-Factory's `system` and `history` too."""
    asked = fields.text(fields.need(row, "instruction"), "instruction")
    given = row.get("input")
    if given is not None and not isinstance(given, str):
        raise RowError(f"input must be text, found {described(given)}")
    if given and given.strip():
        asked = f"{asked}\n\n{given}"
    answer = Answer(fields.text(fields.need(row, "output"), "output"))
    used = ("instruction", "input", "output", "system", "history")
    before = _alpaca_history(row)
    prompt: Prompt = (*before, Message("user", asked)) if before else asked
    return [group(prompt, [answer], row, *used)]


def _alpaca_history(row: Row) -> tuple[Message, ...]:
    turns: list[Message] = []
    if isinstance(row.get("system"), str) and row["system"].strip():
        turns.append(Message("system", row["system"]))
    history = row.get("history") or ()
    if not isinstance(history, list | tuple):
        raise RowError(f"history must be a list of [question, answer], found {described(history)}")
    for index, pair in enumerate(history):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise RowError(f"history[{index}] must be [question, answer], found {described(pair)}")
        turns.append(Message("user", fields.text(pair[0], f"history[{index}][0]")))
        turns.append(Message("assistant", fields.text(pair[1], f"history[{index}][1]")))
    return tuple(turns)


def read_prompt_completion(row: Row) -> list[Group]:
    prompt = fields.prompt(fields.need(row, "prompt"))
    return [group(prompt, [answer_or_whole(row, "completion", prompt)], row, "completion")]


# ---- pairs that share a beginning

_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


def is_transcript(row: Row) -> bool:
    """Whether both texts are dialogues as HH has them."""
    return all(isinstance(row.get(name), str) and "\n\nAssistant:" in row[name] for name in ("chosen", "rejected"))


def is_no_transcript(row: Row) -> bool:
    return not is_transcript(row)


def read_hh(row: Row) -> list[Group]:
    """HH: two whole dialogues. The prompt is what they share up to their last common "Assistant:"."""
    chosen = _dialogue(row, "chosen")
    rejected = _dialogue(row, "rejected")
    return [_parted(chosen, rejected, row)]


def _dialogue(row: Row, name: str) -> tuple[Message, ...]:
    """Turns of a transcript. One speaker twice in a row is one turn: the data has headers inside of answers."""
    said = fields.text(fields.need(row, name), name)
    found = list(_SPEAKER.finditer(said))
    if not found or said[: found[0].start()].strip():
        raise RowError(f'{name} must begin with "Human:", found {described(said)}')
    turns: list[Message] = []
    for at, here in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(said)
        role = "user" if here.group(1) == "Human" else "assistant"
        words = said[here.end() : end].strip()
        if turns and turns[-1].role == role:
            turns[-1] = Message(role, f"{turns[-1].content}\n\n{words}".strip())
        else:
            turns.append(Message(role, words))
    return tuple(turns)


def _parted(chosen: tuple[Message, ...], rejected: tuple[Message, ...], row: Row) -> Group:
    """Two conversations, parted before the first turn in which they differ."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if shared == len(chosen) == len(rejected):
        raise RowError("chosen and rejected are equal; remove the row")
    while shared and chosen[shared - 1].role == "assistant":  # one of them ends here: this turn is where they part
        shared -= 1
    if shared == 0 or shared >= min(len(chosen), len(rejected)):
        raise RowError("chosen and rejected share no user turn to answer; give the prompt in a column of its own")
    prompt = fields.asked(chosen[:shared], "what chosen and rejected share")
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[shared].role == "assistant" and not turns[shared].content.strip() and not turns[shared].extra:
            raise RowError(f"{name} is empty or blank: nothing stands after its last prompt; remove the row")
    return compared(prompt, spoken(chosen[shared:], "chosen"), spoken(rejected[shared:], "rejected"), row)


def read_implicit(row: Row) -> list[Group]:
    """TRL's implicit prompt: chosen and rejected begin alike. Messages part by turns, texts at a space."""
    chosen, rejected = fields.need(row, "chosen"), fields.need(row, "rejected")
    if isinstance(chosen, list | tuple) and isinstance(rejected, list | tuple):
        return [_parted(fields.messages(chosen, "chosen"), fields.messages(rejected, "rejected"), row)]
    one, other = fields.text(chosen, "chosen"), fields.text(rejected, "rejected")
    if one == other:
        raise RowError(f"chosen and rejected are equal; found {described(one)} twice; remove the row")
    shared = os.path.commonprefix([one, other])  # noqa: RUF071  texts, not paths
    cut = len(shared) if not shared or shared[-1].isspace() else max(shared.rfind(" "), shared.rfind("\n")) + 1
    prompt = shared[:cut].rstrip()  # the space goes with the answer, as TRL has it
    if not prompt:
        raise RowError("chosen and rejected share no beginning that could be the prompt; give it in a column `prompt`")
    rest = [fields.text(text[len(prompt) :], name) for text, name in ((one, "chosen"), (other, "rejected"))]
    return [compared(prompt, Answer(rest[0]), Answer(rest[1]), row)]


# ---- rankings


def read_votes(row: Row) -> list[Group]:
    """Votes of several people on two answers: 1 the first, 2 the second, 0 a tie. One group a vote, all of one id."""
    prompt = fields.prompt(fields.need(row, "prompt"))
    answers = answers_of(row)
    votes = fields.need(row, "votes")
    if len(answers) != 2 or not isinstance(votes, list | tuple) or not votes:
        raise RowError(f"votes must be a list on two answers, found {described(votes)} on {len(answers)}")
    order: dict[int, Order] = {0: ((0, 1),), 1: ((0,), (1,)), 2: ((1,), (0,))}
    made = []
    for person, vote in enumerate(votes):
        if isinstance(vote, bool) or not isinstance(vote, int) or vote not in order:
            raise RowError(
                f"votes[{person}] must be 1 (the first), 2 (the second) or 0 (a tie), found {described(vote)}"
            )
        told = {**row, "annotator": str(person)}
        made.append(group(prompt, answers, told, "answers", "votes", "sources", order=order[vote]))
    return made


def read_label_studio(row: Row) -> list[Group]:
    """A task of Label Studio with its Ranker's results: one group an annotation that was not cancelled."""
    task, annotations = fields.need(row, "data"), fields.need(row, "annotations")
    if not isinstance(task, Mapping) or not isinstance(annotations, list | tuple):
        raise RowError(
            f"data must be an object and annotations a list, found {described(task)}, {described(annotations)}"
        )
    items = next((value for value in task.values() if _is_items(value)), None)
    if items is None:
        raise RowError(f"data has no list of items with ids to rank; found {listed(task)}")
    names = [str(item["id"]) for item in items]
    answers = [Answer(_item_text(item, index), source=names[index]) for index, item in enumerate(items)]
    prompt = fields.prompt(_prompt_field(task, ("items",)))
    made = []
    for annotation in annotations:
        result = _ranker(annotation)
        if result is not None:
            told = {"id": row.get("id"), **_label_studio_facts(annotation)}
            made.append(group(prompt, answers, told, order=_named_order(result, names, "ranker")))
    if not made:
        raise RowError("no annotation holds a ranker's result; remove the task or finish it")
    return made


def _is_items(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(i, Mapping) and "id" in i for i in value)


def _item_text(item: Mapping[str, Any], index: int) -> str:
    found = next((item[name] for name in ("body", "text", "html", "title") if item.get(name)), None)
    return fields.text(found, f"items[{index}].body")


def _ranker(annotation: object) -> Any:
    if not isinstance(annotation, Mapping) or annotation.get("was_cancelled"):
        return None
    for result in annotation.get("result") or ():
        if isinstance(result, Mapping) and result.get("type") == "ranker":
            value = result.get("value")
            return value.get("ranker") if isinstance(value, Mapping) else value
    return None


def _label_studio_facts(annotation: Mapping[str, Any]) -> dict[str, Any]:
    who = annotation.get("completed_by")
    who = who.get("email", who.get("id")) if isinstance(who, Mapping) else who
    facts = {"annotator": None if who is None else str(who), "seconds": annotation.get("lead_time")}
    return {name: value for name, value in facts.items() if value is not None}


def _named_order(value: object, names: Sequence[str], field: str) -> Order:
    """A ranker's ids as an order: one list is an order, buckets named by numbers are places, other buckets say none."""
    if isinstance(value, Mapping):
        filled = {str(bucket): ids for bucket, ids in value.items() if ids}
        if len(filled) > 1 and not all(bucket.isdigit() for bucket in filled):
            raise RowError(f"{field} sorts into buckets {listed(filled)}: that is no ranking; rank in one list")
        if len(filled) > 1:
            places: object = [filled[bucket] for bucket in sorted(filled, key=int)]
        else:
            places = next(iter(filled.values()), [])
    else:
        places = value
    if not isinstance(places, list | tuple):
        raise RowError(f"{field} must be a list of ids, best first, found {described(places)}")
    known = {name: index for index, name in enumerate(names)}
    return fields.order([_indices(place, known, field) for place in places], len(names), field)


def _indices(place: object, known: Mapping[str, int], field: str) -> list[int]:
    inside = place if isinstance(place, list | tuple) else [place]
    for name in inside:
        if str(name) not in known:
            raise RowError(f"{field}: unknown answer {described(name)}; the answers are {listed(known)}")
    return [known[str(name)] for name in inside]


def _prompt_field(values: Mapping[str, Any], others: Sequence[str]) -> Any:
    for name in ("prompt", "instruction", "question", "input", "query", "text"):
        if values.get(name):
            return values[name]
    left = [name for name, value in values.items() if name not in others and isinstance(value, str)]
    if len(left) != 1:
        raise RowError(f"no field is the prompt; found {listed(values)}; name it prompt")
    return values[left[0]]


def read_argilla(row: Row) -> list[Group]:
    """A record of Argilla with answers to a ranking question (versions 1 and 2): one group a submitted response."""
    said = fields.need(row, "fields")
    if not isinstance(said, Mapping):
        raise RowError(f"fields must be an object, found {described(said)}")
    made = []
    for who, value in _argilla_responses(fields.need(row, "responses")):
        ranks = _argilla_ranks(value)
        names = [name for name in said if name in ranks]
        if set(names) != set(ranks):
            missing = listed(sorted(set(ranks) - set(names)))
            raise RowError(f"ranking: unknown answer {missing}; the fields are {listed(said)}")
        answers = [Answer(fields.text(said[name], f"fields.{name}"), source=name) for name in names]
        if len(answers) < 2:
            raise RowError(f"ranking must hold two answers or more, found {len(answers)}")
        prompt = fields.prompt(_prompt_field({n: v for n, v in said.items() if n not in ranks}, ()))
        told = {"id": row.get("id") or row.get("external_id"), **({"annotator": str(who)} if who else {})}
        order = fields.order_of_ranks([ranks[name] for name in names])
        made.append(group(prompt, answers, told, order=order))
    if not made:
        raise RowError("no submitted response answers a ranking question; remove the record or finish it")
    return made


def _argilla_responses(responses: object) -> list[tuple[Any, Any]]:
    """(user, value) of each submitted answer whose value is a ranking."""
    found: list[tuple[Any, Any]] = []
    if isinstance(responses, Mapping):  # version 2: by question
        for answers in responses.values():
            for one in answers if isinstance(answers, list | tuple) else ():
                if isinstance(one, Mapping) and one.get("status", "submitted") == "submitted":
                    found.append((one.get("user_id"), one.get("value")))
    elif isinstance(responses, list | tuple):  # version 1: by person
        for one in responses:
            values = one.get("values") if isinstance(one, Mapping) else None
            if isinstance(values, Mapping) and one.get("status", "submitted") == "submitted":
                for value in values.values():
                    found.append((one.get("user_id"), value.get("value") if isinstance(value, Mapping) else value))
    else:
        raise RowError(f"responses must be an object or a list, found {described(responses)}")
    return [(who, value) for who, value in found if isinstance(value, list | tuple) and value]


def _argilla_ranks(value: Sequence[object]) -> dict[str, float]:
    """Option → rank, 1 is best: from {"value", "rank"} objects (equal ranks tie) or from a list in order."""
    ranks: dict[str, float] = {}
    for place, item in enumerate(value, 1):
        name, rank = (item.get("value"), item.get("rank")) if isinstance(item, Mapping) else (item, place)
        if not isinstance(name, str):
            raise RowError(f"ranking must name answers, found {described(item)}")
        if name in ranks:
            raise RowError(f"ranking: answer {described(name)} stands twice; write it once")
        if rank is None:
            raise RowError(f"ranking: answer {described(name)} has no rank; every answer must have one")
        ranks[name] = fields.number(rank, "rank")
    return ranks
