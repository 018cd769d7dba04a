"""What a config says of noise in training: dropout, a router's jitter, layers that are left out now and then.

A run sets it as it needs it, and a model that is saved has what came in: another trainer would take ours for the
model's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from transformers import PreTrainedConfig

Noise = Sequence[Mapping[str, float]]
"""What the noise was, of a config and, where that has one of its own for text, of that."""


def noise_set(config: PreTrainedConfig, dropout: float) -> Noise:
    """Set dropout as asked for and all other noise to 0, and return what it was."""
    came: list[dict[str, float]] = []
    for part in _parts(config):
        found = {name: value for name, value in vars(part).items() if type(value) in (int, float) and _is_noise(name)}
        for name in found:
            setattr(part, name, dropout if _is_dropout(name) else 0.0)
        came.append(found)
    return came


@contextmanager
def as_it_came(config: PreTrainedConfig, came: Noise) -> Iterator[None]:
    """Within, the config has the noise that it came with."""
    parts = _parts(config)[: len(came)]
    now = [{name: getattr(part, name) for name in found} for part, found in zip(parts, came, strict=True)]
    _put(parts, came)
    try:
        yield
    finally:
        _put(parts, now)


def _put(parts: Sequence[PreTrainedConfig], values: Noise) -> None:
    for part, found in zip(parts, values, strict=True):
        for name, value in found.items():
            setattr(part, name, value)


def _parts(config: PreTrainedConfig) -> list[PreTrainedConfig]:
    text = config.get_text_config()
    return [config] if text is config else [config, text]


def _is_noise(name: str) -> bool:
    return _is_dropout(name) or "jitter" in name or name in ("layerdrop", "layer_drop")


def _is_dropout(name: str) -> bool:
    return "jitter" not in name and ("dropout" in name or name.endswith("_pdrop"))
