"""Keys and values of a sampler's prompts and answers, and attention over them, for transformers' models.

S slots, each with one answer that is being written; R rows, each with one prompt that all its answers read; K heads of
keys and values, G query heads to each of them, D head size, P and T tokens of a prompt and of an answer.

A step of decoding is one packed row of S tokens. Answers to one prompt lie together when its keys are read, so that a
prompt's keys come from memory once for all its answers: at 64 slots, prompts of 150 tokens and 4 answers each this
takes 0.9 ms a layer, where a cache that repeats the prompt takes 3.0 (shapes of SmolLM2-135M, one core).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from burnish.models.attention import TreeLayout, tree_attention

ROLLOUT_ATTENTION = "burnish_rollout"
_BLOCK = 16  # rows whose prompts are read up to the longest of them; rows of like length lie together at first
_FIRST_LENGTH = 64  # tokens that an answer has room for at first; the room doubles when it is used up


class _Pass(Protocol):
    """A forward pass of the sampler: over prompts, or over the newest token of each answer."""

    def attend(self, module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, how: "_How") -> Tensor:
        """query (1, K·G, n, D), key and value (1, K, n, D) -> (1, n, K·G, D)"""
        ...


@dataclass(frozen=True, slots=True)
class _How:
    scale: float
    window: int | None
    softcap: float | None


def rollout_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    rollout: _Pass | None = None,
    **other: Any,
) -> tuple[Tensor, None]:
    """Attention of a sampler's pass. What else a model may ask of its attention, the check at load has ruled out."""
    if rollout is None:
        raise ValueError(f"{type(module).__name__} does not hand the sampler's cache to its attention")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return rollout.attend(module, query, key, value, _How(scale, sliding_window, softcap)), None


@dataclass(frozen=True)
class PromptPass:
    """Computes packed prompts and keeps each layer's keys and values, (K, tokens, D)."""

    layout: TreeLayout
    kept: dict[torch.nn.Module, tuple[Tensor, Tensor]]

    def attend(self, module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, how: _How) -> Tensor:
        self.kept[module] = (key[0], value[0])
        out, _ = tree_attention(
            module,
            query,
            key,
            value,
            None,
            scaling=how.scale,
            sliding_window=how.window,
            softcap=how.softcap,
            tree=self.layout,
        )
        return out


@dataclass(slots=True)
class _Layer:
    prompt_key: Tensor  # (rows, K, P, D)
    prompt_value: Tensor
    own_key: Tensor  # (slots, K, T, D)
    own_value: Tensor


class Cache:
    """Keys and values of every layer. Slots and rows that are in use come first; the others hold what was there."""

    def __init__(self, slots: int, rows: int, prompt_length: int, answer_length: int) -> None:
        self.slots = slots
        self.rows = rows
        self.prompt_length = prompt_length
        self.answer_length = answer_length
        self.room = min(answer_length, _FIRST_LENGTH)
        self.layers: dict[torch.nn.Module, _Layer] = {}

    def put_prompt(self, row: int, kept: dict[torch.nn.Module, tuple[Tensor, Tensor]], start: int, stop: int) -> None:
        """Copy tokens [start, stop) of a prompt pass to a row."""
        if not self.layers:
            self.layers = {module: self._empty(key, value) for module, (key, value) in kept.items()}
        if row >= self.rows:
            self.rows = min(2 * self.rows, self.slots)
            for layer in self.layers.values():
                layer.prompt_key = _longer(layer.prompt_key, 0, self.rows)
                layer.prompt_value = _longer(layer.prompt_value, 0, self.rows)
        for module, (key, value) in kept.items():
            layer = self.layers[module]
            layer.prompt_key[row, :, : stop - start] = key[:, start:stop]
            layer.prompt_value[row, :, : stop - start] = value[:, start:stop]

    def _empty(self, key: Tensor, value: Tensor) -> _Layer:
        # zeros, since what is masked out still enters a product, and a NaN in it would stay one
        return _Layer(
            prompt_key=key.new_zeros(self.rows, key.shape[0], self.prompt_length, key.shape[2]),
            prompt_value=value.new_zeros(self.rows, value.shape[0], self.prompt_length, value.shape[2]),
            own_key=key.new_zeros(self.slots, key.shape[0], self.room, key.shape[2]),
            own_value=value.new_zeros(self.slots, value.shape[0], self.room, value.shape[2]),
        )

    def move_rows(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy whole rows; no row is both source and target."""
        s, t = torch.tensor(source), torch.tensor(target)
        for layer in self.layers.values():
            layer.prompt_key[t] = layer.prompt_key[s]
            layer.prompt_value[t] = layer.prompt_value[s]

    def move_slots(self, source: Sequence[int], target: Sequence[int], length: int) -> None:
        """Copy the first `length` tokens of slots; no slot is both source and target."""
        s, t = torch.tensor(source), torch.tensor(target)
        for layer in self.layers.values():
            layer.own_key[t, :, :length] = layer.own_key[s, :, :length]
            layer.own_value[t, :, :length] = layer.own_value[s, :, :length]

    def make_room(self, length: int) -> None:
        """Let every answer have `length` tokens."""
        if length <= self.room:
            return
        self.room = min(max(2 * self.room, length), self.answer_length)
        for layer in self.layers.values():
            layer.own_key = _longer(layer.own_key, 2, self.room)
            layer.own_value = _longer(layer.own_value, 2, self.room)


def moves(count: int, gone: Sequence[int]) -> tuple[list[int], list[int]]:
    """What must move where, so that after `gone` left of `count` places the first ones are in use: source, target."""
    left, missing = count - len(gone), set(gone)
    source = [place for place in range(left, count) if place not in missing]
    return source, sorted(place for place in missing if place < left)


def _longer(tensor: Tensor, axis: int, size: int) -> Tensor:
    shape = list(tensor.shape)
    shape[axis] = size
    made = tensor.new_zeros(shape)
    made.narrow(axis, 0, tensor.shape[axis]).copy_(tensor)
    return made


@dataclass(frozen=True, slots=True)
class _Exchange:
    """Where slots lie among their prompts: the answers of a row side by side, `width` places a row."""

    to_grid: Tensor  # (R·K·width,) index into (S·K)
    to_slot: Tensor  # (S·K,) index into (R·K·width)


class Neighbours:
    """Which slots read which prompt. It changes when an answer ends or begins."""

    def __init__(self, row_of_slot: Sequence[int], device: torch.device) -> None:
        row_S = np.asarray(row_of_slot)
        count_R = np.bincount(row_S)
        self.rows = len(count_R)
        self.width = int(count_R.max())
        order_S = np.argsort(row_S, kind="stable")
        place_S = np.empty_like(row_S)
        place_S[order_S] = np.arange(len(row_S)) - (np.cumsum(count_R) - count_R)[row_S[order_S]]
        self._row_S, self._place_S, self._device = row_S, place_S, device
        self._exchanges: dict[int, _Exchange] = {}

    def exchange(self, heads: int) -> _Exchange:
        if heads not in self._exchanges:
            head_1K = np.arange(heads)[None, :]
            to_slot_SK = (self._row_S[:, None] * heads + head_1K) * self.width + self._place_S[:, None]
            to_grid = np.zeros(self.rows * heads * self.width, dtype=np.int64)  # places without an answer read slot 0
            to_grid[to_slot_SK] = np.arange(len(self._row_S))[:, None] * heads + head_1K
            self._exchanges[heads] = _Exchange(
                torch.from_numpy(to_grid).to(self._device), torch.from_numpy(to_slot_SK.reshape(-1)).to(self._device)
            )
        return self._exchanges[heads]


class DecodePass:
    """Computes the newest token of each answer: writes its key and value, then attends to prompt and answer."""

    def __init__(
        self,
        cache: Cache,
        neighbours: Neighbours,
        prompt_size_S: Tensor,
        step_S: Tensor,
        prompt_sizes: Sequence[int],
        length: int,
    ) -> None:
        """`step_S`: the new token's index in its answer; `prompt_sizes`: each row's tokens; `length`: the longest
        answer's."""
        self.cache = cache
        self.neighbours = neighbours
        self.step_S = step_S
        self.slot_S = torch.arange(len(step_S), device=step_S.device)
        rows = [slice(start, start + _BLOCK) for start in range(0, neighbours.rows, _BLOCK)]
        self.blocks = [(block, max(prompt_sizes[block])) for block in rows]
        prompt_length = max(prompt_sizes)
        self.prompt_length = prompt_length
        self.length = length
        prompt_1P = torch.arange(prompt_length, device=step_S.device).expand(len(step_S), -1)
        own_1T = torch.arange(length, device=step_S.device)[None, :]
        self.position_S = prompt_size_S + step_S
        self.seen_SL = torch.cat((prompt_1P < prompt_size_S[:, None], own_1T <= step_S[:, None]), 1)
        self.key_position_SL = torch.cat((prompt_1P, prompt_size_S[:, None] + own_1T), 1)
        self._masks: dict[int | None, Tensor] = {}

    def attend(self, module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, how: _How) -> Tensor:
        layer = self.cache.layers[module]
        heads, size = key.shape[1], key.shape[3]
        count, groups = len(self.step_S), query.shape[1] // heads
        layer.own_key[self.slot_S, :, self.step_S] = key[0].transpose(0, 1)
        layer.own_value[self.slot_S, :, self.step_S] = value[0].transpose(0, 1)
        own_key = layer.own_key[:count, :, : self.length]
        own_value = layer.own_value[:count, :, : self.length]
        rows, width, prompt = self.neighbours.rows, self.neighbours.width, self.prompt_length
        prompt_key, prompt_value = layer.prompt_key[:rows], layer.prompt_value[:rows]
        exchange = self.neighbours.exchange(heads)

        query = query[0].view(heads, groups, count, size).permute(2, 0, 1, 3).reshape(count * heads, groups * size)
        gathered = query.index_select(0, exchange.to_grid).view(rows, heads, width * groups, size)
        on_prompt = gathered.new_zeros(rows, heads, width * groups, prompt)
        for block, longest in self.blocks:
            on_prompt[block, ..., :longest] = gathered[block] @ prompt_key[block, :, :longest].transpose(2, 3)
        on_prompt = on_prompt.view(rows * heads * width, groups * prompt).index_select(0, exchange.to_slot)
        on_own = query.view(count, heads, groups, size) @ own_key.transpose(2, 3)
        score = torch.cat((on_prompt.view(count, heads, groups, prompt), on_own), 3)
        weight = self._weights(score, how).to(query.dtype)

        spread = weight[..., :prompt].reshape(count * heads, groups * prompt).index_select(0, exchange.to_grid)
        spread = spread.view(rows, heads, width * groups, prompt)
        from_prompt = spread.new_empty(rows, heads, width * groups, prompt_value.shape[3])
        for block, longest in self.blocks:
            from_prompt[block] = spread[block, ..., :longest] @ prompt_value[block, :, :longest]
        from_prompt = from_prompt.view(rows * heads * width, -1).index_select(0, exchange.to_slot)
        out = (weight[..., prompt:] @ own_value).view(count * heads, -1).add_(from_prompt)
        return out.view(1, count, heads * groups, -1)

    def _weights(self, score: Tensor, how: _How) -> Tensor:
        if how.window not in self._masks:
            seen_SL = self.seen_SL
            if how.window is not None:
                seen_SL = seen_SL & (self.position_S[:, None] - self.key_position_SL < how.window)
            mask_SL = torch.zeros(seen_SL.shape, dtype=score.dtype, device=score.device)
            self._masks[how.window] = mask_SL.masked_fill_(~seen_SL, float("-inf"))[:, None, None, :]
        if how.softcap:
            score = torch.tanh(score * (how.scale / how.softcap)) * how.softcap + self._masks[how.window]
        else:
            score = torch.add(self._masks[how.window], score, alpha=how.scale)
        return score.softmax(3) if score.dtype == torch.float64 else score.softmax(3, dtype=torch.float32)


def _no_mask(*_: Any, **__: Any) -> None:
    """The cache says who sees whom."""


AttentionInterface.register(ROLLOUT_ATTENTION, rollout_attention)
AttentionMaskInterface.register(ROLLOUT_ATTENTION, _no_mask)
