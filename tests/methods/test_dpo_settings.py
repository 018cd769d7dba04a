"""DPO's keys: what a loss brings with it, and what is refused because it would do nothing."""

from typing import Any

import pytest
from pydantic import ValidationError

from burnish.methods.dpo_settings import DPOConfig


@pytest.mark.parametrize("loss, settings", [
    ("ipo", {"smoothing": 0.1}),
    ("ipo", {"target_margin": 1.0}),
    ("hinge", {"smoothing": 0.1}),
    ("nca", {"length": "mean"}),
    ("nca", {"length_tail": 0.5}),
    ("nca", {"divergence": "js"}),
    ("sigmoid", {"baseline": "none"}),
    ("simpo", {"length": "sum"}),
    ("simpo", {"length_price": 0.1}),
    ("orpo", {"target_margin": 0.5}),
    ("cpo", {"length": "mean"}),
    ("plackett_luce", {"weight": "pair"}),
    ("plackett_luce", {"smoothing": 0.1}),
    ("plackett_luce", {"wpo": True}),
])  # fmt: skip
def test_a_key_that_a_loss_does_not_read_is_refused(loss: str, settings: dict[str, Any]):
    (key,) = settings
    with pytest.raises(ValidationError, match=rf"{key}: loss: {loss} does not read it; leave it out, or take one of"):
        DPOConfig(loss=loss, **settings)


@pytest.mark.parametrize("settings, told", [
    ({"loss": "robust"}, "smoothing: 0, and loss: robust needs a share above 0"),
    ({"loss": "exo", "smoothing": 0}, "smoothing: 0, and loss: exo needs a share above 0"),
    ({"margin_scale": 2.0}, "margin_scale multiplies the margin, and there is none"),
    ({"alpha": 0.3}, "alpha is of divergence: alpha, and divergence is reverse_kl"),
    ({"sft": {"length": "sum"}}, "length is of an SFT term whose weight is 0"),
])  # fmt: skip
def test_a_key_that_another_makes_idle_is_refused(settings: dict[str, Any], told: str):
    with pytest.raises(ValidationError, match=told):
        DPOConfig(**settings)


def test_a_loss_brings_its_papers_settings_and_what_is_given_stands_above_them():
    simpo = DPOConfig(loss="simpo")
    assert (simpo.beta, simpo.target_margin, simpo.length) == (2.0, 1.0, "mean")
    assert DPOConfig(loss="simpo", beta=2.5).beta == 2.5
    assert (DPOConfig(loss="cpo").sft.weight, DPOConfig(loss="cpo").sft.length) == (1.0, "sum")
    assert (DPOConfig(loss="orpo", sft={"weight": 0.2}).sft.weight) == 0.2
    cpo = DPOConfig(loss="cpo", sft={"length": "mean"}).sft
    assert (cpo.weight, cpo.length) == (1.0, "mean")
    assert DPOConfig(loss="exo").smoothing == 1e-3
    assert DPOConfig().beta == 0.1


def test_a_paper_s_sft_term_can_be_switched_off():
    for loss in ("cpo", "orpo"):
        assert DPOConfig(loss=loss, sft={"weight": 0}).sft.weight == 0


def test_an_unknown_loss_is_told():
    with pytest.raises(ValidationError, match="'sigmoid', 'ipo'"):
        DPOConfig(loss="simop")
