"""The three aims stand beside each other as columns."""

from burnish.evaluation.aims import as_lines


def ends(name: str, value: float) -> dict[str, float | None]:
    return {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}


def test_each_aim_is_a_column_and_each_model_a_row():
    sft = {**ends("told_apart", 0.8), **ends("win_rate", 0.5), **ends("safe", 0.6)}
    dpo = {**ends("told_apart", 0.9), **ends("win_rate", 0.7), "safe": None}
    assert as_lines({"sft": sft, "dpo": dpo}) == [
        "     human-like (told_apart)  useful (win_rate)  safe (safe)",
        "sft  0.80 [0.75–0.85]         0.50 [0.45–0.55]   0.60 [0.55–0.65]",
        "dpo  0.90 [0.85–0.95]         0.70 [0.65–0.75]   –",
    ]


def test_an_aim_that_was_not_measured_is_no_column_and_one_alone_no_table():
    assert as_lines({"sft": ends("win_rate", 0.5), "dpo": ends("win_rate", 0.7)}) == []
    assert as_lines({"sft": ends("safe", 0.5)}) == []
    both = {"sft": ends("safe", 0.5) | ends("win_rate", 0.5)}
    assert as_lines(both)[0].split() == ["useful", "(win_rate)", "safe", "(safe)"]
