"""Several processes that train one model: each holds the whole model and computes its share of every batch.

    torchrun --nproc-per-node 2 -m burnish sft …

They are numbered by rank, as torchrun says in RANK and WORLD_SIZE. Rank 0 leads: it alone writes and tells, and orders
what is computed together. Without torchrun there is one process: nothing is set up, and every exchange here gives what
that one has.

What is exchanged is JSON and tensors, never pickles; over gloo, and gradients on GPUs over NCCL. A process that fails
tells the others (`together`). One that died, or is silent for longer than BURNISH_PROCESS_TIMEOUT seconds, is missed in
the next exchange. Either way all of them end.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from burnish.errors import ConfigError, RankFailed, exit_code_of, is_out_of_memory

if TYPE_CHECKING:
    from torch import Tensor
    from torch._C._distributed_c10d import Store

SET_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = "BURNISH_PROCESS_TIMEOUT"
USUAL_TIMEOUT = 1800.0  # seconds; longer than the watchdog of a step waits, which can say where it hangs
BUCKET = 2**24  # elements that are summed in one call
POLL = 0.1  # seconds between two looks for an order, which may take days to come: people may be ranking

_store: "Store | None" = None
_orders = 0
_sharing = False


def started() -> int:
    """How many processes torchrun started, this one included; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in SET_BY_TORCHRUN) else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return int(os.environ["RANK"]) if started() > 1 else 0


def on_this_machine() -> int:
    """How many of them run on this machine and share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or started()) if started() > 1 else 1


def count() -> int:
    """How many processes compute together what is computed now."""
    return started() if _sharing else 1


def leads() -> bool:
    """Whether this process writes and tells: rank 0, and any that computes by itself."""
    return not _sharing or rank() == 0


def of_rank() -> str:
    """Behind a word of a message: ` of rank 1`; nothing for rank 0, or without others."""
    return "" if not rank() else f" of rank {rank()}"


# ---- from the first order to the last


@contextmanager
def joined() -> Iterator[None]:
    """Within, the processes that torchrun started can exchange. Where it ends with an error, so should the process:
    the others learn of it by that."""
    global _store, _orders
    if started() == 1 or _store is not None:
        yield
        return
    _store, _orders = _met(), 0
    try:
        yield
        with sharing():
            gathered(None)  # the last order was read by all before the process that keeps it may end
    finally:
        _store = None
    from torch.distributed import destroy_process_group

    destroy_process_group()


@contextmanager
def leading() -> Iterator[None]:
    """Rank 0's part of `joined`: the others end when it does, and as it does."""
    try:
        yield
    except BaseException as error:
        with suppress(RankFailed):
            _order({"end": exit_code_of(error)})
        raise
    _order({"end": 0})


@contextmanager
def leading_in(what: str) -> Iterator[None]:
    """Within, rank 0 computes together with the others, who are ordered to compute `what`."""
    _order({"compute": what})
    with sharing():
        yield


def orders() -> Iterator[str]:
    """What the other ranks are ordered to compute, in turn. Raises RankFailed where rank 0 ends with an error."""
    for number in range(2**63):
        key = f"order/{number}"
        with _hearing():
            while _store is not None and not _store.check([key]):
                time.sleep(POLL)
            order = json.loads(_store.get(key)) if _store is not None else {"end": 70}
        if order.get("end"):
            raise RankFailed("rank 0 ended the run; it says why", order["end"])
        if "end" in order:
            return
        yield str(order["compute"])


@contextmanager
def sharing() -> Iterator[None]:
    """Within, every rank computes the same thing, each its share of it."""
    global _sharing
    before, _sharing = _sharing, started() > 1
    try:
        yield
    finally:
        _sharing = before


def _order(order: Mapping[str, Any]) -> None:
    global _orders
    if _store is None:
        return
    with _hearing():
        _store.set(f"order/{_orders}", json.dumps(order))
    _orders += 1


def _met() -> "Store":
    import torch
    from torch.distributed import init_process_group
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    limit = _timeout()
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % gpus)  # what `cuda` names from here on
    backend = "cpu:gloo,cuda:nccl" if gpus and on_this_machine() <= gpus else "gloo"  # NCCL wants a GPU for each
    with _hearing():
        kept, number, world = next(rendezvous("env://", timeout=limit))
        # torchrun's own store outlives the processes that it starts again, and what they have written there
        store = PrefixStore(f"burnish/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", kept)
        own = PrefixStore("group", store)
        init_process_group(backend, store=own, rank=number, world_size=world, timeout=limit)
    return PrefixStore("orders", store)


def _timeout() -> timedelta:
    text = os.environ.get(TIMEOUT) or str(USUAL_TIMEOUT)
    try:
        seconds = float(text)
        if not 0 < seconds < 1e9:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{TIMEOUT}: must be a number of seconds above 0; found {text!r}") from None
    return timedelta(seconds=seconds)


# ---- exchanges, which all ranks make in the same order


def share_of(sizes: Sequence[int]) -> list[int]:
    """Which of the parts with these sizes are this rank's, in their order: the largest first, each to who has least."""
    loads = [0] * count()
    mine = []
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        least = loads.index(min(loads))
        loads[least] += sizes[index]
        if count() == 1 or least == rank():
            mine.append(index)
    return sorted(mine)


def gathered(value: Any) -> list[Any]:
    """What each rank has, by rank; as JSON has it where there are several."""
    if count() == 1:
        return [value]
    import torch
    from torch import distributed

    said_B = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    with _hearing():
        size_R = [torch.zeros(1, dtype=torch.int64) for _ in range(count())]
        distributed.all_gather(size_R, torch.tensor([len(said_B)]))
        longest = int(max(size_R))
        heard_RB = [torch.zeros(longest, dtype=torch.uint8) for _ in range(count())]
        distributed.all_gather(heard_RB, torch.nn.functional.pad(said_B, (0, longest - len(said_B))))
    return [json.loads(heard_B[: int(size)].numpy().tobytes()) for heard_B, size in zip(heard_RB, size_R, strict=True)]


def together(work: Callable[[], Any]) -> list[Any]:
    """What `work` gives on each rank, by rank; where it raises on one it raises on all. It may exchange nothing.

    On the others it is a RankFailed with the same exit code, or where memory ran out a MemoryError.
    """
    if count() == 1:
        return [work()]
    try:
        told = {"gives": work()}
    except Exception as error:
        told = {"failed": str(error) or type(error).__name__, "code": exit_code_of(error)}
        gathered(told | {"memory": is_out_of_memory(error)})
        raise
    for number, heard in enumerate(answers := gathered(told)):
        if "failed" in heard and heard["memory"]:
            raise MemoryError(f"rank {number}: {heard['failed']}")
        if "failed" in heard:
            raise RankFailed(f"rank {number}: {heard['failed']}", heard["code"])
    return [heard["gives"] for heard in answers]


def led(work: Callable[[], Any]) -> Any:
    """What `work` gives on rank 0, which alone does it; where it raises there it raises on all."""
    return together(lambda: work() if leads() else None)[0]


def sum_in_place(tensors: Sequence["Tensor"]) -> None:
    """Make each tensor its sum over all ranks, the same bits on each. Half precision is added in float32."""
    if count() == 1:
        return
    import torch
    from torch import distributed

    for bucket in _buckets(tensors):
        flat = torch.cat([one.reshape(-1) for one in bucket])
        summed = flat.float() if flat.dtype in (torch.bfloat16, torch.float16) else flat
        with _hearing():
            distributed.all_reduce(summed)
        for one, part in zip(bucket, summed.split([one.numel() for one in bucket]), strict=True):
            one.copy_(part.view_as(one))


def _buckets(tensors: Sequence["Tensor"]) -> Iterator[list["Tensor"]]:
    """Neighbours of one kind in lists of at most BUCKET elements, or of one tensor that has more."""
    bucket: list[Tensor] = []
    room = 0
    for tensor in tensors:
        alike = bool(bucket) and (tensor.dtype, tensor.device) == (bucket[0].dtype, bucket[0].device)
        if bucket and not (alike and tensor.numel() <= room):
            yield bucket
            bucket = []
        room = (room if bucket else BUCKET) - tensor.numel()
        bucket.append(tensor)
    if bucket:
        yield bucket


def from_rank_0(tensors: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """The tensors that rank 0 has, on the CPU; what another rank hands in says nothing."""
    import torch
    from torch import distributed

    facts = {name: (str(one.dtype).removeprefix("torch."), list(one.shape)) for name, one in tensors.items()}
    found: dict[str, Tensor] = {}
    for name, (dtype, shape) in gathered(facts if leads() else {})[0].items():
        one = tensors[name].detach().cpu().contiguous() if leads() else torch.empty(shape, dtype=getattr(torch, dtype))
        if one.numel():
            with _hearing():
                distributed.broadcast(one.reshape(-1).view(torch.uint8), 0)  # bytes, for gloo does not know every dtype
        found[name] = one
    return found


@contextmanager
def _hearing() -> Iterator[None]:
    """Within, raise RankFailed where another process cannot be heard: all that torch has for it is a RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        silent = any(word in str(error).lower() for word in ("timed out", "timeout"))
        what = f"was silent for {_timeout().total_seconds():g} s ({TIMEOUT})" if silent else "ended"
        raise RankFailed(
            f"another process of this run {what}: {str(error).splitlines()[0]}. What it said stands beside this. Run "
            "the same command again to go on from the last save.",
            silent=silent,
        ) from error
