"""Devices: which there are, how they are called, the precision that is right on each, and what they lack.

Knows nothing of models. Whether Apple's GPU is trusted is for `loading` to find out, by trying it.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from workbench.errors import PolicyError


def named(name: str) -> torch.device:
    """The device of a name. Raises PolicyError where there is none on this machine."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise PolicyError(f"There is no device {name!r}; choose auto, cpu, cuda or mps.") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise PolicyError(f"The device {name!r} is of a kind that is not supported; choose auto, cpu, cuda or mps.")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise PolicyError(f"Device {name!r} is not available on this machine; choose auto or cpu.")
    if device.type == "mps" and not has_mps():
        raise PolicyError(f"Device {name!r} is Apple's GPU, which is not available here; choose auto or cpu.")
    return device


def has_mps() -> bool:
    """True where PyTorch reaches Apple's GPU."""
    return torch.backends.mps.is_available()


def described(device: torch.device) -> str:
    """A device in words, for sentences about its memory."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return "this machine"  # Apple's GPU shares the machine's memory


def dtype_on(device: torch.device) -> torch.dtype:
    """The precision of a policy: bf16 on CUDA (fp16 on cards that only emulate it), fp32 everywhere else.

    On a CPU bf16 is slow and coarse; on Apple's GPU no half precision has been measured against float64 yet.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def quantization_on(device: torch.device, choice: str) -> str:
    """The quantisation for a device: `choice`, or what "auto" stands for there: NF4 on CUDA, none elsewhere.

    Raises PolicyError where quantised layers were chosen and cannot be had.
    """
    installed = importlib.util.find_spec("bitsandbytes") is not None
    if choice == "auto":
        return "nf4" if device.type == "cuda" and installed else "none"
    if choice != "none" and device.type == "mps":
        raise PolicyError(
            f"Quantization {choice!r} needs bitsandbytes, which is not used on Apple's GPU; choose 'none', or device "
            "'cpu'."
        )
    if choice != "none" and not installed:
        raise PolicyError(
            f"Quantization {choice!r} needs bitsandbytes, which is not installed; install it where it has a build for "
            "this system (pip install bitsandbytes), or choose 'none'."
        )
    return choice


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float64, on its device, or on the CPU where its device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; float64 becomes float32 on one that has no float64."""
    if device.type == "mps" and tensor.dtype == torch.float64:
        tensor = tensor.float()
    return tensor.to(device)


def ran_out_of_memory(error: BaseException) -> bool:
    """True for an error of a device without memory; Apple's is a RuntimeError that only its text tells."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "mps backend out of memory" in str(error).lower()
    )


def release(device: torch.device) -> None:
    """Give memory that PyTorch keeps on a device for later back to it."""
    if device.type == "mps":
        torch.mps.empty_cache()
    else:
        torch.cuda.empty_cache()  # nothing where there is no CUDA
