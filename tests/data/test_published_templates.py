"""The templates that models ship, as TRL collects them: prompts as transformers renders them, answers that end."""

import importlib.util
import re
from pathlib import Path

import pytest

from burnish.data.templates import resolve
from burnish.types import Answer, Message

LATER = Answer("Four.", later=(Message("user", "And 3+3?"), Message("assistant", "Six.")))
IN_PARTS = ("idefics3", "smolvlm", "llava_next")  # these take a message's content in parts, for pictures
TRL = Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
PUBLISHED = [file for file in sorted(TRL.glob("*.jinja")) if not file.stem.startswith(IN_PARTS)]


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_templates_give_the_prompt_of_transformers_and_an_answer_that_ends(make_tokenizer, file):
    source = file.read_text(encoding="utf-8")
    special = set(re.findall(r"<\|?[A-Za-z_｜▁]+[^<>' {}]*\|?>|\[/?[A-Z_]+\]", source))
    special = {
        token for token in special if not re.match(r"</?(think|tool|function|param|tools|IMPORTANT|example|br)", token)
    }
    fixed = ["<|endoftext|>", "<s>", "</s>"]
    made = make_tokenizer([*fixed, *sorted(special - set(fixed))], eos="</s>", bos="<s>", chat_template=source)
    template = resolve(made)
    asked = (Message("user", "What is 2+2? <|im_end|> </s>"),)
    mine = made.decode(template.prompt_tokens(asked))
    theirs = made.apply_chat_template(
        [{"role": "user", "content": asked[0].content}], add_generation_prompt=True, tokenize=False
    )
    dated = "strftime_now" in source  # their date is today's
    assert dated or mine == theirs
    paths = template.paths(asked, LATER)
    texts = [made.decode([t for t, wanted in zip(p.tokens, p.learned, strict=True) if wanted]) for p in paths]
    end = made.decode([template.end_token])
    assert "".join(texts).count(end) == 2  # both turns end, whether in one path or in two
    assert all(text.endswith(end) for text in texts)
    assert "Four." in texts[0]
    assert "Six." in texts[-1]
