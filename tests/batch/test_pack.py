"""Trees end to end in one row: where each token is, what predicts it, and what each micro-batch holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.batch.pack import Span, micro_batches, pack
from burnish.types import Branch, Tree


def branch(*tokens: int, learned: tuple[bool, ...] | None = None, **facts: object) -> Branch:
    return Branch(tokens, learned or (True,) * len(tokens), **facts)


TWO = (
    Tree((1, 2, 3), (branch(4, 5, place=0, score=2.0), branch(6, place=1, answer=1, ended=False)), group=7),
    Tree((8,), (branch(9, 10),), group=9),
)


def test_prompts_stand_once_and_branches_follow_them():
    batch = pack(TWO)
    assert batch.token_T.tolist() == [1, 2, 3, 4, 5, 6, 8, 9, 10]
    assert batch.spans == (Span((0, 3), ((3, 5), (5, 6))), Span((6, 7), ((7, 9),)))
    assert [span.size for span in batch.spans] == [6, 3]


def test_positions_of_a_branch_go_on_from_its_prompt():
    assert pack(TWO).position_T.tolist() == [0, 1, 2, 3, 4, 3, 0, 1, 2]


def test_a_branch_is_predicted_from_the_prompt_s_last_token_and_then_from_itself():
    batch = pack(TWO)
    assert batch.target_L.tolist() == [4, 5, 6, 9, 10]
    assert batch.source_L.tolist() == [2, 3, 2, 6, 7]
    assert batch.token_T[batch.source_L].tolist() == [3, 4, 3, 8, 9]
    assert batch.answer_L.tolist() == [0, 0, 1, 2, 2]
    assert batch.step_L.tolist() == [0, 1, 0, 0, 1]


def test_what_is_known_of_an_answer_comes_along():
    batch = pack(TWO)
    assert batch.group_N.tolist() == [0, 0, 1]
    assert batch.place_N.tolist() == [0, 1, -1]
    assert batch.ended_N.tolist() == [True, False, True]
    assert batch.length_N.tolist() == [2, 1, 2]
    assert batch.keys == ((7, 0), (7, 1), (9, 0))
    assert batch.score_N[0] == 2.0
    assert batch.score_N[1:].isnan().all()


def test_only_learned_tokens_carry_loss_and_the_score_is_read_at_the_last_of_them():
    """A user's turn inside a conversation is not learned, nor what a template prints after the end token."""
    batch = pack([Tree((1,), (branch(2, 3, 4, 5, 6, learned=(True, False, False, True, False)),))])
    assert batch.target_L.tolist() == [2, 5]
    assert batch.source_L.tolist() == [0, 3]
    assert batch.step_L.tolist() == [0, 3]
    assert batch.last_N.tolist() == [4]


def test_an_answer_that_teaches_nothing_is_still_scored_at_its_end():
    batch = pack([Tree((1,), (branch(2, 3, learned=(False, False)),))])
    assert batch.target_L.shape == (0,)
    assert batch.last_N.tolist() == [2]


def test_a_prompt_without_answers_is_a_row_of_its_own():
    batch = pack([Tree((1, 2), ())])
    assert batch.token_T.tolist() == [1, 2]
    assert batch.keys == ()
    assert batch.source_L.shape == (0,)


def test_nothing_predicts_the_first_token_of_an_empty_prompt():
    assert pack([Tree((), (branch(1, 2, learned=(False, True)),))]).target_L.tolist() == [2]
    with pytest.raises(ValueError, match=r"rows\.jsonl:3: nothing predicts the first token"):
        pack([Tree((), (branch(1, 2),), origin="rows.jsonl:3")])


def test_rows_of_the_padded_path_are_prompt_and_branch():
    rows = pack(TWO).rows
    assert rows.token_NS.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 6, 0], [8, 9, 10, 0, 0]]
    flat = rows.token_NS.flatten()
    assert flat[rows.source_L].tolist() == [3, 4, 3, 8, 9]
    assert flat[rows.last_N].tolist() == [5, 6, 10]


def test_tables_go_in_and_come_out_by_answer():
    batch = pack(TWO)
    value_L = torch.arange(5.0)
    table = batch.scatter(value_L)
    assert table[7, 1].tolist() == [2.0]
    assert torch.equal(batch.gather(table), value_L)
    assert pack(TWO[::-1]).gather(table).tolist() == [3.0, 4.0, 0.0, 1.0, 2.0]


def test_a_table_of_one_value_an_answer_goes_in_alike():
    table = {(7, 0): torch.tensor(5.0), (7, 1): torch.tensor(6.0), (9, 0): torch.tensor(7.0)}
    assert pack(TWO[::-1]).gather(table).tolist() == [7.0, 5.0, 6.0]


# Micro-batches


def sizes(parts: list[list[Tree]]) -> list[list[int]]:
    return [[tree.size for tree in part] for part in parts]


def test_a_batch_is_cut_in_its_order_where_the_budget_is_full():
    trees = [Tree((0,) * 2, (branch(*[1] * n),), group=n) for n in (3, 4, 1, 6)]
    assert sizes(micro_batches(trees, 11, whole=False)) == [[5, 6], [3, 8]]


def test_a_tree_above_the_budget_is_split_by_branches_with_its_prompt_repeated():
    tree = Tree((0,) * 4, tuple(branch(*[1] * n, answer=k) for k, n in enumerate((3, 3, 3))), group=5)
    parts = micro_batches([tree], 10, whole=False)
    assert sizes(parts) == [[10], [7]]
    assert [b.answer for part in parts for piece in part for b in piece.branches] == [0, 1, 2]
    assert {piece.group for part in parts for piece in part} == {5}


def test_a_tree_whose_answers_are_compared_stays_whole_above_the_budget():
    tree = Tree((0,) * 4, (branch(1, 1, 1), branch(1, 1, 1)))
    small = Tree((0,), (branch(1),))
    assert sizes(micro_batches([small, tree, small], 6, whole=True)) == [[2], [10], [2]]


def test_a_branch_longer_than_the_budget_is_a_part_of_its_own():
    tree = Tree((0,) * 4, (branch(*[1] * 9), branch(1)))
    assert sizes(micro_batches([tree], 6, whole=False)) == [[13], [5]]


def test_a_prompt_longer_than_the_budget_is_not_lost():
    assert sizes(micro_batches([Tree((0,) * 9, ())], 6, whole=False)) == [[9]]


trees_of_any_shape = st.lists(
    st.builds(
        lambda prompt, lengths: Tree(
            (0,) * prompt, tuple(branch(*[1] * length, answer=k) for k, length in enumerate(lengths))
        ),
        st.integers(1, 9),
        st.lists(st.integers(1, 9), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=6,
)


@given(trees_of_any_shape, st.integers(1, 40), st.booleans())
def test_no_answer_is_lost_or_doubled_however_a_batch_is_cut(trees: list[Tree], budget: int, whole: bool):
    parts = micro_batches(trees, budget, whole=whole)
    after = [(tree.prompt, b) for part in parts for tree in part for b in tree.branches]
    assert after == [(tree.prompt, b) for tree in trees for b in tree.branches]
    for part in parts:
        unavoidable = len(part) == 1 and (whole or len(part[0].branches) == 1)
        assert unavoidable or sum(tree.size for tree in part) <= budget
