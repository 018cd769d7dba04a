"""A loaded model as the methods see it: token trees in, log-probabilities, scores or values out.

    Policy  a causal language model: logprobs (L,), and sums an answer (N,)
    Scorer  a sequence classifier with one label: scores (N,) at the answer's end, values (L,) before each token

L learned tokens, N answers, D hidden size; see batch/pack.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from burnish import processes
from burnish.batch.pack import TreeBatch, micro_batches, pack
from burnish.errors import ConfigError
from burnish.models import head as heads
from burnish.models.adapters import Adapter, merged_weights
from burnish.models.attention import TREE_ATTENTION, TreeLayout
from burnish.models.head import Forbidden, Head
from burnish.models.noise import Noise, as_it_came
from burnish.objectives import likelihood
from burnish.types import Tree


class Model:
    """Weights, tokenizer and the path that its forward pass takes, packed or padded.

    `padded_because` says why packing is not exact for this model; empty where it is. `flex`: attention over trees is
    one FlexAttention call instead of a few calls a tree; None takes it on CUDA. `noise`: what its config came with.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        padded_because: str = "",
        flex: bool | None = None,
        source: str = "",
        noise: Noise = (),
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.padded_because = padded_because
        self.flex = (model.device.type == "cuda" and model.dtype != torch.float64) if flex is None else flex
        self.flex_refused = ""  # why not, on a GPU where it was not taken
        self.source = source
        self.noise = noise
        self.adapter: Adapter | None = None
        self.stock_attention: str = model.config._attn_implementation or "eager"
        self.longest = _longest_exact(model.config.get_text_config())
        if self.packed:
            model.set_attn_implementation(TREE_ATTENTION)

    @property
    def packed(self) -> bool:
        return not self.padded_because

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def trunk(self) -> PreTrainedModel:
        """The model below its head, its own adapter at work: another model may have the same trunk and another one."""
        if self.adapter is not None:
            self.adapter.put_on()
        trunk: PreTrainedModel = self.model.base_model  # type: ignore[assignment]  # typed as any module
        return trunk

    def hidden(self, batch: TreeBatch, *, at: str) -> Tensor:
        """Last hidden states (L, D) at the sources of learned tokens (`at="source"`), or (N, D) at="last".

        Raises ConfigError for a row at whose length the model would treat every other row differently.
        """
        if self.longest is not None and int(batch.position_T.max()) >= self.longest:
            raise ConfigError(
                f"{self.source or type(self.model).__name__}: a row of {int(batch.position_T.max()) + 1} tokens. From "
                f"{self.longest + 1} on, this model's rotary embedding (rope_type in its config) changes for every "
                f"row of the batch, so results would depend on the neighbours: set max_length to {self.longest} or less"
            )
        if self.packed:
            layout = TreeLayout(batch.spans, batch.token_T.device, flex=self.flex)
            out = self.trunk(
                input_ids=batch.token_T[None], position_ids=batch.position_T[None], use_cache=False, tree=layout
            )
            hidden_TD: Tensor = out.last_hidden_state[0]
            return hidden_TD[batch.source_L if at == "source" else batch.last_N]
        rows = batch.rows
        # no mask: padding stands on the right, and what a causal model reads there it cannot carry back to the left
        out = self.trunk(input_ids=rows.token_NS, use_cache=False)
        hidden_TD = out.last_hidden_state.flatten(0, 1)
        return hidden_TD[rows.source_L if at == "source" else rows.last_N]

    @contextmanager
    def stock(self) -> Iterator[PreTrainedModel]:
        """The model with transformers' own attention, for what is not a token tree."""
        if self.adapter is not None:
            self.adapter.put_on()
        if self.packed:
            self.model.set_attn_implementation(self.stock_attention)
        try:
            yield self.model
        finally:
            if self.packed:
                self.model.set_attn_implementation(TREE_ATTENTION)

    @contextmanager
    def adapter_off(self) -> Iterator[None]:
        """The weights that came in, while the adapter stays in place: the reference of a LoRA run."""
        if self.adapter is None:
            raise ConfigError("this model has no adapter to switch off; train it with `lora:` or name a reference")
        with self.adapter.off():
            yield

    def save(self, directory: Path) -> None:
        """Write what `from_pretrained` loads: config, safetensors, tokenizer, its chat template. Dropout is what the
        model came with, whatever it was trained with.

        With LoRA the adapter goes to `adapter/` beside it, and the model is written merged. Here nothing changes. Of
        several processes that train it together the first one writes, the others make the folder.
        """
        if not processes.leads():
            directory.mkdir(parents=True, exist_ok=True)
            return
        weights = None
        if self.adapter is not None:
            self.adapter.save(directory.parent / "adapter")
            weights = merged_weights(self.model, self.adapter)
        for left in directory.glob(".tmp*"):  # by safetensors, of a process that was killed amid this
            left.unlink()
        with as_it_came(self.model.config, self.noise):
            self.model.save_pretrained(directory, state_dict=weights)
        self.tokenizer.save_pretrained(directory)
        for file in directory.glob("*.safetensors"):
            file.chmod(0o644)  # it is written for its owner alone, unlike all else in the folder

    def weights(self) -> dict[str, Tensor]:
        """All that it computes with, by name; not the adapters of models that share the trunk with it."""
        weights = self.model.state_dict()
        return {name: w for name, w in weights.items() if self.adapter is None or not self.adapter.foreign(name)}

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        if self.adapter is not None:
            self.adapter.put_on()  # of the adapters on a trunk the one at work can learn
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}


@dataclass(frozen=True)
class Reading:
    """What one forward pass of a policy says of each learned token, (L,)."""

    logprob_L: Tensor
    entropy_L: Tensor
    """Of the distribution that the token was drawn from, in nats."""
    value_L: Tensor | None
    """Of the state before the token, where the policy has a value head."""


VALUE_HEAD = "value_head.weight"
"""What `Policy.trainable` calls the weight of a value head."""


class Policy(Model):
    """A causal language model; after `add_value_head`, a critic on the same trunk too."""

    value_head: torch.nn.Linear | None = None

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> None:
        self._scale_and_softcap = heads.scale_and_softcap(model)  # before the attention is exchanged
        super().__init__(model, tokenizer, **settings)

    @property
    def head(self) -> Head:
        layer = self.model.get_output_embeddings()
        return Head(layer.weight, getattr(layer, "bias", None), *self._scale_and_softcap)

    # ---- its critic

    def add_value_head(self) -> None:
        """Put a linear head on the trunk, all 0, so that every value is 0 at first. `save` leaves it out."""
        width = self.head.weight_VD.shape[1]
        wide = torch.float64 if self.model.dtype == torch.float64 else torch.float32  # in half precision steps are lost
        self.value_head = torch.nn.Linear(width, 1, bias=False, device=self.device, dtype=wide)
        torch.nn.init.zeros_(self.value_head.weight)

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        own = {} if self.value_head is None else dict(self.value_head.named_parameters(prefix="value_head"))
        return super().trainable() | own

    def _values(self, hidden_LD: Tensor) -> Tensor:
        if self.value_head is None:
            raise ValueError("this policy has no value head; call add_value_head first")
        value_L1: Tensor = self.value_head(hidden_LD.to(self.value_head.weight.dtype))
        return value_L1.squeeze(-1)

    def head_values(self, batch: TreeBatch) -> Tensor:
        """Value of the state before each learned token, (L,), of which the head alone gets a gradient."""
        with torch.no_grad():
            hidden_LD = self.hidden(batch, at="source")
        return self._values(hidden_LD)

    @torch.no_grad()
    def frozen_logprobs_and_values(
        self, trees: Sequence[Tree], budget: int, **settings: Any
    ) -> tuple[dict[tuple[int, int], Tensor], dict[tuple[int, int], Tensor]]:
        """`frozen_logprobs`, and the value before every learned token, from one pass of the trunk."""
        logprobs: dict[tuple[int, int], Tensor] = {}
        values: dict[tuple[int, int], Tensor] = {}
        for part in micro_batches(trees, budget, whole=False):
            batch = pack(part).to(self.device)
            hidden_LD = self.hidden(batch, at="source")
            logprobs.update(batch.scatter(self._logprobs(batch, hidden_LD, **settings).cpu()))
            values.update(batch.scatter(self._values(hidden_LD).cpu()))
        return logprobs, values

    # ---- log-probabilities

    def logprobs(
        self, batch: TreeBatch, *, temperature: float = 1.0, min_new_tokens: int = 0, end_tokens: Sequence[int] = ()
    ) -> Tensor:
        """log p of each learned token given its prompt and branch so far, (L,), differentiable.

        `temperature` divides the logits; before `min_new_tokens` the `end_tokens` have probability 0, as in sampling.
        """
        hidden_LD = self.hidden(batch, at="source")
        return self._logprobs(
            batch, hidden_LD, temperature=temperature, min_new_tokens=min_new_tokens, end_tokens=end_tokens
        )

    def _logprobs(
        self,
        batch: TreeBatch,
        hidden_LD: Tensor,
        *,
        temperature: float = 1.0,
        min_new_tokens: int = 0,
        end_tokens: Sequence[int] = (),
    ) -> Tensor:
        forbidden = _forbidden(batch, min_new_tokens, end_tokens)
        return heads.token_logprobs(self.head, hidden_LD, batch.target_L, temperature=temperature, forbidden=forbidden)

    def read(
        self,
        batch: TreeBatch,
        *,
        temperature: float = 1.0,
        min_new_tokens: int = 0,
        end_tokens: Sequence[int] = (),
        entropy_gradient: bool = False,
    ) -> Reading:
        """`logprobs`, and what else can be said of the same hidden states: one pass of the trunk for all of it.

        The entropy carries a gradient only where one is asked for. Values teach the trunk.
        """
        hidden_LD = self.hidden(batch, at="source")
        forbidden = _forbidden(batch, min_new_tokens, end_tokens)
        given: dict[str, Any] = {"temperature": temperature, "forbidden": forbidden}
        if entropy_gradient:
            logprob_L = heads.token_logprobs(self.head, hidden_LD, batch.target_L, **given)
            entropy_L = heads.entropies(self.head, hidden_LD, **given)
        else:
            logprob_L, entropy_L = heads.token_logprobs_and_entropies(self.head, hidden_LD, batch.target_L, **given)
        return Reading(logprob_L, entropy_L, None if self.value_head is None else self._values(hidden_LD))

    def logprobs_and_collisions(self, batch: TreeBatch) -> tuple[Tensor, Tensor]:
        """`logprobs`, and log Σ_v p(v)² at each learned token, (L,), without gradient: one pass of the trunk."""
        hidden_LD = self.hidden(batch, at="source")
        return self._logprobs(batch, hidden_LD), heads.collisions(self.head, hidden_LD)

    def logprob_sums(self, batch: TreeBatch) -> Tensor:
        """log p of each answer's learned tokens, (N,), differentiable."""
        logprob_L = self.logprobs(batch)
        return likelihood.answer_sums(logprob_L, batch.answer_L, len(batch.keys))

    @torch.no_grad()
    def frozen_logprobs(
        self, trees: Sequence[Tree], budget: int, *, adapter: bool = True, **settings: Any
    ) -> dict[tuple[int, int], Tensor]:
        """log p of every learned token, without gradient, as a table from answer to its (tokens,)."""
        table: dict[tuple[int, int], Tensor] = {}
        with nullcontext() if adapter else self.adapter_off():
            for part in micro_batches(trees, budget, whole=False):
                batch = pack(part).to(self.device)
                table.update(batch.scatter(self.logprobs(batch, **settings).cpu()))
        return table


class Scorer(Model):
    """A reward model or critic: transformers' sequence classification with one label.

    Its score is the head's output less `score_mean` of the config, which transformers' own forward does not subtract.
    """

    @property
    def head(self) -> torch.nn.Linear:
        """Hidden state to score: transformers' `score` layer."""
        layer: torch.nn.Linear = self.model.get_submodule("score")  # type: ignore[assignment]  # load_scorer looked
        return layer

    @property
    def mean(self) -> float:
        """What is taken off the head's output; 0 in a reward model that was not normalised."""
        return float(getattr(self.model.config, "score_mean", 0.0) or 0.0)

    @property
    def deviation(self) -> float:
        """What a gap of scores is multiplied with to be a pair's log-odds; 1 in a model that was not normalised."""
        return float(getattr(self.model.config, "score_deviation", 1.0) or 1.0)

    @property
    def score_head(self) -> torch.nn.Linear:
        """The layer whose weights make the scores: beside LoRA, the copy that is trained whole."""
        head: Any = self.model.score
        if self.adapter is not None and hasattr(head, "modules_to_save"):
            head = head.modules_to_save[self.adapter.name]
        if not isinstance(head, torch.nn.Linear):
            raise ConfigError(f"{self.source}: {type(self.model).__name__} has no linear `score` head")
        return head

    def _head_output(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.head(hidden)
        return heads.at_least_float32(out).squeeze(-1) - self.mean

    def scores(self, batch: TreeBatch) -> Tensor:
        """Score of each answer, (N,), read at its end-of-turn token or, unfinished, at its last token."""
        return self._head_output(self.hidden(batch, at="last"))

    def values(self, batch: TreeBatch) -> Tensor:
        """Value of the state before each learned token, (L,)."""
        return self._head_output(self.hidden(batch, at="source"))

    @torch.no_grad()
    def frozen_values(self, trees: Sequence[Tree], budget: int) -> dict[tuple[int, int], Tensor]:
        """Value before every learned token, without gradient, as a table from answer to its (tokens,)."""
        table: dict[tuple[int, int], Tensor] = {}
        for part in micro_batches(trees, budget, whole=False):
            batch = pack(part).to(self.device)
            table.update(batch.scatter(self.values(batch).cpu()))
        return table

    @torch.no_grad()
    def frozen_scores(self, trees: Sequence[Tree], budget: int) -> dict[tuple[int, int], Tensor]:
        """Score of every answer, without gradient, as a table from answer to its score (1,)."""
        table: dict[tuple[int, int], Tensor] = {}
        for part in micro_batches(trees, budget, whole=False):
            batch = pack(part).to(self.device)
            table.update(zip(batch.keys, self.scores(batch).cpu().split(1), strict=True))
        return table


def _longest_exact(config: PreTrainedConfig) -> int | None:
    """The longest row that cannot change another row's rotary embedding; None where none can.

    `dynamic` stretches and `longrope` exchanges the frequencies of a whole batch by its longest row.
    """
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    limits = []
    for settings in [rope, *(value for value in rope.values() if isinstance(value, dict))]:
        kind = str(settings.get("rope_type", ""))
        if "dynamic" in kind:
            limits.append(int(config.max_position_embeddings))
        elif kind == "longrope":
            limits.append(int(settings["original_max_position_embeddings"]))
    return min(limits, default=None)


def _forbidden(batch: TreeBatch, min_new_tokens: int, end_tokens: Sequence[int]) -> Forbidden | None:
    if not min_new_tokens or not end_tokens:
        return None
    device = batch.token_T.device
    return Forbidden(torch.tensor(list(end_tokens), device=device), batch.step_L < min_new_tokens)
