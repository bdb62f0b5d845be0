"""The policy: a causal language model with one LoRA adapter, its optimiser, its average and its random state.

Saves and restores its whole mutable state, bit for bit. Knows nothing of prompts, losses or files. The model comes in
eval mode and stays in it: there is no dropout anywhere, and both sides of every comparison must be computed in the
same mode (traps 9 and 14 in docs/traps.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from workbench.errors import PolicyError
from workbench.kernels.projection import Head
from workbench.policy.average import Average
from workbench.policy.head import final_head
from workbench.policy.merged import MergedWeights

Weights = Literal["live", "reference", "average"]  # the adapter as it is, off, as the `ema` teacher has it
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps per parameter


class Policy:
    """A loaded model with its adapter, made by `load_policy`. Not thread-safe."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        device: torch.device,
        eos_ids: tuple[int, ...],
        facts: Mapping[str, Any],
        seed: int,
    ) -> None:
        from peft.tuners.tuners_utils import BaseTunerLayer
        from transformers.modeling_layers import GradientCheckpointingLayer

        self.model = model  # PeftModel
        self.bare = model.get_base_model()  # the same modules, adapter included, without PEFT's wrapper around forward
        self.head = final_head(self.bare)  # shares the weights of `bare`, which is then read without its own head
        self.tokenizer = tokenizer
        self.device = device
        self.eos_ids = eos_ids  # every id that ends an attempt
        self.facts = dict(facts) | {"final_projection": _projection(self.head)}
        self.context_length = int(facts["context_length"])  # tokens, prompt and attempt together
        self.generator = torch.Generator(device=device).manual_seed(seed)  # of sampling, and of nothing else
        self.adapter = {name: p for name, p in model.named_parameters() if p.requires_grad}  # by name, fixed order
        self.average: Average | None = None  # weights of the `ema` teacher; None until an update was made under it
        # Every update sets the learning rate and the decay; the values here are never used.
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)
        self._modules = list(model.modules())
        self._layers = [module for module in self._modules if isinstance(module, BaseTunerLayer)]
        self._merged = MergedWeights(self._layers) if self.facts["merged_sampling"] else None
        self._decoder = [module for module in self._modules if isinstance(module, GradientCheckpointingLayer)]

    @property
    def width(self) -> int:
        """Numbers per position before `head`: hidden features, or logits where the model keeps its own head."""
        return int(self.facts["vocabulary"]) if self.head.weight is None else self.head.weight.shape[1]

    def parameters(self) -> list[torch.nn.Parameter]:
        """Trainable parameters: the adapter's, in the order of `adapter`."""
        return list(self.adapter.values())

    def state(self) -> dict[str, Tensor]:
        """Copy everything that an update or sampling changes, as contiguous CPU tensors that safetensors can write.

        Keys: `adapter/<parameter>`, `optimizer/<parameter>/{exp_avg,exp_avg_sq,step}` (absent before the first
        step), `teacher/<parameter>` and `teacher/error` (absent while there is no average) and `random/sampling`.
        Loading it back is bit-exact (trap 11).
        """
        tensors = {f"adapter/{name}": _copy(parameter) for name, parameter in self.adapter.items()}
        for name, parameter in self.adapter.items():
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"optimizer/{name}/{key}": _copy(moments[key]) for key in _MOMENTS if key in moments}
        if self.average is not None:
            tensors |= {f"teacher/{name}": _copy(tensor) for name, tensor in self.average.tensors.items()}
            tensors["teacher/error"] = torch.tensor(self.average.error, dtype=torch.float64)
        tensors["random/sampling"] = self.generator.get_state().clone()
        return tensors

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a state that `state` returned.

        Raises PolicyError, before anything is changed, where the tensors belong to another model or adapter.
        """
        self._check_state(tensors)
        with torch.no_grad():
            for name, parameter in self.adapter.items():
                parameter.copy_(tensors[f"adapter/{name}"])
                parameter.grad = None
        self.optimizer.state.clear()
        for name, parameter in self.adapter.items():
            if f"optimizer/{name}/step" in tensors:
                moments = {key: tensors[f"optimizer/{name}/{key}"].clone() for key in _MOMENTS}
                # AdamW keeps its step count on the CPU, the moments beside the parameter.
                self.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
                }
        self.average = _average_in(tensors, self.device)
        self.generator.set_state(tensors["random/sampling"].clone())

    def _check_state(self, tensors: Mapping[str, Tensor]) -> None:
        adapter = {f"adapter/{name}": parameter for name, parameter in self.adapter.items()}
        moments = {f"optimizer/{name}/{key}": parameter for name, parameter in self.adapter.items() for key in _MOMENTS}
        teacher = {key for key in tensors if key.startswith("teacher/")}
        average = _average_in(tensors, torch.device("cpu"))
        complete = adapter.keys() <= tensors.keys() and "random/sampling" in tensors
        expected = tensors.keys() - teacher <= adapter.keys() | moments.keys() | {"random/sampling"}
        shapes = {**{key: p.shape for key, p in moments.items() if not key.endswith("/step")}}
        shapes |= {key: p.shape for key, p in adapter.items()}
        fitting = all(tensors[key].shape == shape for key, shape in shapes.items() if key in tensors)
        fitting = fitting and (average.fits(self.adapter) if average is not None else not teacher)
        if not (complete and expected and fitting):
            raise PolicyError(
                f"The saved state does not fit this policy ({self.facts['model']}, LoRA rank "
                f"{self.facts['lora']['rank']}); open it with the model and the LoRA settings that it was made with."
            )

    def fingerprint(self) -> tuple[Any, ...]:
        """Cheap summary of what a scoring pass must not change: values, trainability, active adapter, modes.

        PyTorch's in-place version counters stand for the values.
        """
        adapter = tuple((p._version, p.data_ptr(), p.requires_grad) for p in self.adapter.values())
        layers = tuple((tuple(layer.active_adapters), layer.disable_adapters) for layer in self._layers)
        return adapter, layers, any(module.training for module in self._modules)

    @contextmanager
    def stopping(self, stop: Callable[[], bool] | None, error: Exception) -> Iterator[None]:
        """Inside the block every pass asks `stop` at each decoder layer, forwards and backwards; True raises `error`.

        So a pass ends within the time of a layer, where the whole would take minutes on a large model.
        """
        if stop is None:
            yield
            return

        def check(*_: Any) -> None:
            if stop():
                raise error

        def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            check()
            hidden = args[0] if args else kwargs["hidden_states"]
            if hidden.requires_grad:
                hidden.register_hook(check)  # called once the layer's backward pass is over

        hooks = [layer.register_forward_pre_hook(before, with_kwargs=True) for layer in self._decoder]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Assert that the block leaves the adapter, its trainability and the modes as they were (trap 9)."""
        before = self.fingerprint()
        yield
        if self.fingerprint() != before:
            raise AssertionError("a scoring pass changed the policy: values, trainability, active adapter or mode")

    def reading_as(self, weights: Weights) -> AbstractContextManager[None]:
        """Read with these weights inside the block, without gradient; restore the former ones afterwards."""
        if weights == "live":
            return nullcontext()
        return self.reference() if weights == "reference" else self.averaged()

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Switch the adapter off inside the block: the model is the reference policy. Switch it on afterwards.

        PEFT clears and sets `requires_grad` on entry and exit; the former values are restored here. Its own
        `disable_adapter` does the same to the same layers, and inspects the whole model each time: 20 ms.
        """
        with self.untouched(), self._trainability_kept():
            try:
                for layer in self._layers:
                    layer.enable_adapters(False)
                yield
            finally:
                for layer in self._layers:
                    layer.enable_adapters(True)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Read as fast as sampling can inside the block: with the adapter merged into a copy of the weights, if any.

        Without gradient. `facts["merged_sampling"]` says whether there is such a copy (`workbench.policy.merged`).
        """
        if self._merged is None:
            yield
            return
        with self.untouched(), self._trainability_kept(), self._merged.read(self.fingerprint()):
            yield

    @contextmanager
    def _trainability_kept(self) -> Iterator[None]:
        trainable = {name: p.requires_grad for name, p in self.adapter.items()}
        try:
            yield
        finally:
            for name, parameter in self.adapter.items():
                parameter.requires_grad_(trainable[name])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the `ema` teacher's adapter inside the block, without gradient; restore the policy's afterwards.

        The parameters point at the average's tensors for a while and then at their own again: nothing is copied or
        rounded, and PEFT's switches are not used. Before the first update under `ema` the average would be a copy of
        the adapter, so the adapter itself serves.
        """
        originals = {name: parameter.data for name, parameter in self.adapter.items()}
        with torch.no_grad(), self.untouched():
            try:
                for name, tensor in ({} if self.average is None else self.average.tensors).items():
                    self.adapter[name].data = tensor
                yield
            finally:
                for name, parameter in self.adapter.items():
                    parameter.data = originals[name]


def _projection(head: Head) -> str:
    if head.weight is None:
        return "the model's own: whole logits of an attempt are held, because its last layer is not a plain one"
    return "a few places at a time"


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _average_in(tensors: Mapping[str, Tensor], device: torch.device) -> Average | None:
    """A copy of the average in a state; None where the state has none."""
    if "teacher/error" not in tensors:
        return None
    named = {key.removeprefix("teacher/"): tensor for key, tensor in tensors.items() if key.startswith("teacher/")}
    error = float(named.pop("error"))
    return Average({name: tensor.to(device, copy=True) for name, tensor in named.items()}, error)
