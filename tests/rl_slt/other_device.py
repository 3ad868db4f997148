"""A device that is not the CPU, simulated on it: tensors that must not meet those of the CPU.

A tensor here says that it is on `DEVICE`, and refuses to be mixed with one of the CPU just as
a GPU would. Its numbers are the CPU's. torch's device `meta`, which holds no numbers, lends its
name, since a build of torch without a GPU knows no other that gradients can be taken on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_CROSSES = (_aten._to_copy.default, _aten.copy_.default)  # what may read one and write the other


class There(Tensor):
    """A tensor of the other device."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "There":
        return Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), storage_offset=here.storage_offset(),
            dtype=here.dtype, device=DEVICE,
        )  # fmt: skip

    def __init__(self, here: Tensor) -> None:
        self.here = here

    @property
    def data(self) -> Tensor:
        """The same memory; assigned to, another tensor's."""
        return There(self.here)

    @data.setter
    def data(self, value: Tensor) -> None:
        assert isinstance(value, There) and value.shape == self.shape
        self.here = value.here

    def __repr__(self) -> str:  # type: ignore[override]
        return f"There({self.here})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(isinstance(t, There) for t in tensors)
    if there and func not in _CROSSES:
        strangers = [t for t in tensors if t.device != DEVICE and t.ndim]
        if strangers:
            raise RuntimeError(f"{func}: expected all tensors on one device, not {strangers}")
    if kwargs.get("device") is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    if func is _aten.copy_.default:
        there = isinstance(args[0], There)
    found = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    if not there:
        return found
    mine = {id(t.here): t for t in tensors if isinstance(t, There)}  # what was written in place

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return mine[id(value)] if id(value) in mine else There(value)

    return tree_map(wrap, found)


def _here(value: Any) -> Any:
    """The CPU's tensor behind one of the device; the blanks that autograd makes itself are 0."""
    if isinstance(value, There):
        return value.here
    if isinstance(value, Tensor) and value.device == DEVICE:
        return torch.zeros_like(value, device="cpu")
    return value


class _Makers(TorchFunctionMode):
    """Makes tensors asked for on the other device, and brings others there and back."""

    def __init__(self) -> None:
        super().__init__()
        self._generators: list[Generator] = []

    def generator(self, device: torch.device | str) -> Generator:
        """One of the other device (with the CPU's numbers), or of the CPU."""
        made = Generator()
        if torch.device(device) == DEVICE:
            self._generators.append(made)
        return made

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if "generator" in kwargs:
            fills = any(isinstance(a, There) for a in args) or kwargs.get("device") == DEVICE
            if fills != any(kwargs["generator"] is one for one in self._generators):
                raise RuntimeError(f"{func}: expected a generator of the tensor's own device")
        if func is Tensor.cpu:
            return _here(args[0])
        if func is Tensor.tolist:
            return _here(args[0]).tolist()
        if func is Tensor.to:
            return _to(*args, **kwargs)
        if kwargs.get("device") is None or torch.device(kwargs["device"]) != DEVICE:
            return func(*args, **kwargs)
        found = func(*args, **kwargs | {"device": "cpu"})
        return found if isinstance(found, There) else There(found)


def _to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """What `Tensor.to` does, from or to the other device."""
    given = [*args, kwargs.get("device")]
    there = any(a == DEVICE for a in given if isinstance(a, torch.device))
    if not there and not any(isinstance(a, str | torch.device) for a in given):
        return tensor.to(*args, **kwargs)
    cpu = ["cpu" if isinstance(a, str | torch.device) else a for a in args]
    found = _here(tensor).detach().to(*cpu, **kwargs | ({"device": "cpu"} if not args else {}))
    if there and isinstance(tensor, There) and tensor.dtype == found.dtype:
        return tensor
    return There(found) if there else found


@contextmanager
def other_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Let estimates be made on it. Its generators are the CPU's, so that numbers are, too."""
    makers = _Makers()
    for module in ("build", "target"):
        monkeypatch.setattr(f"rl_slt.posterior.{module}.Generator", makers.generator)
    monkeypatch.setattr("rl_slt.posterior.build.DEVICES", ("cpu", DEVICE.type))
    with makers:
        yield DEVICE


def moved(policy: nn.Module) -> nn.Module:
    """The policy, its parameters and buffers on the other device."""
    return policy.to(DEVICE)
