"""Source of a model: found, checked and pinned before any of its weights is loaded.

Only safetensors weights or a GGUF file, never remote code, never weights that are quantised in another way. Everything
that can be known from configuration and tensor headers is checked here; a model that does not fit is refused in one
sentence (`PolicyError`). Knows nothing of devices and adapters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.config import MODEL_NAMES, PolicyConfig
from workbench.errors import PolicyError
from workbench.policy import gguf_model
from workbench.policy.gguf_header import Header

EMBEDDED_WEIGHTS = Path(__file__).parents[1] / "embedded" / "weights"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
# Files that decide how a model answers; a card, a log or an adapter beside them does not.
_HASHED = (
    *("config.json", "generation_config.json", "*.safetensors", "*.index.json", "tokenizer*", "vocab.json"),
    *("merges.txt", "spiece.model", "special_tokens_map.json", "added_tokens.json", "chat_template*"),
)
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True, slots=True)
class Source:
    """A model, with everything known of it before its weights are loaded."""

    name: str  # as the person named it
    place: str  # a directory, a GGUF file, or a hub id
    commit: str | None  # the hub commit that is loaded; None for what is on this machine
    config: Any  # transformers' configuration
    content_hash: str | None  # SHA-256 over configuration, tokenizer and weights; None for a hub model
    gguf: Header | None = None  # of a GGUF file

    @property
    def is_local(self) -> bool:
        """True for a directory or file of this machine; a hub model is pinned by its commit instead."""
        return self.content_hash is not None


def find(config: PolicyConfig) -> Source:
    """Find the model named by `config`, and check what can be checked without its weights.

    Raises PolicyError: unknown, incomplete, unreachable, pickled, already quantised, not a causal language model.
    """
    from transformers import AutoConfig

    if (file := gguf_model.gguf_file(config.model)) is not None:
        return _find_in_gguf(config, file)
    directory = _directory(config.model)
    place = config.model if directory is None else str(directory)
    commit = _commit(config) if directory is None else None
    with as_policy_error(config):
        model_config = AutoConfig.from_pretrained(place, revision=commit, trust_remote_code=False)
    _check_kind(config.model, model_config)
    return Source(config.model, place, commit, model_config, None if directory is None else content_hash(directory))


def _find_in_gguf(config: PolicyConfig, file: Path) -> Source:
    with as_policy_error(config):
        header, model_config = gguf_model.read(file)
    _check_kind(config.model, model_config)
    return Source(config.model, str(file), None, model_config, _file_hash(file), header)


def _commit(config: PolicyConfig) -> str:
    """The commit that a hub model's revision stands for now, by the hub, or else by the cache."""
    from huggingface_hub import resolve_revision

    with as_policy_error(config):
        return resolve_revision(config.model, revision=config.revision).resolved


def skeleton(source: Source, config: PolicyConfig, *, dtype: torch.dtype, attention: str | None) -> Any:
    """Build the model without its weights: modules and shapes on the meta device, for predictions and checks."""
    from transformers import AutoModelForCausalLM

    with as_policy_error(config), torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            source.config, trust_remote_code=False, dtype=dtype, attn_implementation=attention
        )


def check_headers(source: Source, model: Any) -> None:
    """Compare the tensor headers of a local model with its shapes (`skeleton`), reading no weights.

    Raises PolicyError: a damaged or truncated file, a tensor that is not floating-point or has another shape.
    """
    if source.gguf is not None:
        gguf_model.check_tensors(source.gguf, model)
    if source.gguf is not None or not source.is_local:
        return
    shapes = {name: tuple(parameter.shape) for name, parameter in model.state_dict().items()}
    for path in sorted(Path(source.place).glob("*.safetensors")):
        for name, (dtype, shape) in tensor_headers(path).items():
            if name not in shapes:
                continue  # renamed on loading, or not part of the language model; gaps show after loading
            if dtype not in _FLOATS:
                raise PolicyError(
                    f"The weights of {source.name!r} are of type {dtype} ({name} in {path.name}); choose the model in "
                    "bf16, fp16 or fp32, the workbench quantises it itself."
                )
            if shape != shapes[name]:
                raise PolicyError(
                    f"The weights of {source.name!r} do not fit its config.json: {name} in {path.name} has shape "
                    f"{list(shape)}, expected {list(shapes[name])}; get the model again."
                )


def tensor_headers(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each tensor of a safetensors file, by name; no tensor is read.

    Raises PolicyError for a file that is not a whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
            return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise PolicyError(f"{path} cannot be loaded: it is damaged or truncated ({error}); get it again.") from error


def content_hash(directory: Path) -> str:
    """SHA-256 over the names and contents of the files that decide how a model answers."""
    matching = {path for pattern in _HASHED for path in directory.glob(pattern) if path.is_file()}
    files = sorted(matching, key=lambda path: path.name)  # paths themselves sort without case on Windows
    combined = hashlib.sha256()
    with ThreadPoolExecutor() as pool:  # hashing releases Python's lock, and large models come in many files
        for path, digest in zip(files, pool.map(_file_hash, files), strict=True):
            combined.update(f"{path.name}\0{digest}\n".encode())
    return combined.hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _directory(model: str) -> Path | None:
    """The directory to load from, checked for the files it must hold; None for a hub id."""
    if model == "embedded":
        directory = EMBEDDED_WEIGHTS
    elif Path(model).expanduser().exists() or model.startswith((".", "/", "~")) or "\\" in model:
        directory = Path(model).expanduser()
    else:
        return None
    if not directory.is_dir():
        raise PolicyError(f"There is no model directory {model!r}; give {MODEL_NAMES}.")
    if (directory / "adapter_config.json").is_file() and not (directory / "config.json").is_file():
        raise PolicyError(
            f"{model!r} is an adapter, not a model; name the model it belongs to and give this one as `adapter`."
        )
    files = sorted(directory.glob("*.gguf"))
    if files and not (directory / "config.json").is_file():
        raise PolicyError(f"The directory {model!r} holds GGUF files; name the one to load, such as {str(files[0])!r}.")
    missing = [] if (directory / "config.json").is_file() else ["config.json"]
    missing += [] if any(directory.glob("*.safetensors")) else ["weights (*.safetensors)"]
    missing += [] if any((directory / name).is_file() for name in _TOKENIZER_FILES) else ["a tokenizer"]
    if missing:
        raise PolicyError(f"The model directory {model!r} is incomplete: add {', '.join(missing)}.")
    return directory


def _check_kind(name: str, config: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if getattr(config, "quantization_config", None):
        method = config.quantization_config.get("quant_method", "unknown method")
        raise PolicyError(
            f"The model {name!r} is already quantised ({method}); choose it in bf16, fp16 or fp32, the workbench "
            "quantises it itself."
        )
    architectures = [str(architecture) for architecture in config.architectures or []]
    causal = ("CausalLM", "LMHeadModel", "ConditionalGeneration")  # the last: language models that also read images
    writes_text = not architectures or any(architecture.endswith(causal) for architecture in architectures)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or not writes_text:
        kind = ", ".join(architectures) or config.model_type
        raise PolicyError(f"The model {name!r} is a {kind}, not a causal language model; choose one that writes text.")


@contextmanager
def as_policy_error(config: PolicyConfig) -> Iterator[None]:
    """Turn errors of the loading libraries into a PolicyError that says what to do."""
    try:
        yield
    except PolicyError:
        raise
    except torch.OutOfMemoryError as error:
        raise PolicyError(
            f"There is not enough GPU memory for {config.model!r} with quantization {config.quantization!r}; "
            "use quantization 'nf4', a smaller model, or device 'cpu'."
        ) from error
    except Exception as error:
        raise PolicyError(_reason(config, error)) from error


def _reason(config: PolicyConfig, error: Exception) -> str:
    from huggingface_hub import errors as hub

    model, causes = config.model, list(_causes(error))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(hub.GatedRepoError):
        return f"The model {model!r} needs an accepted licence; accept it on its hub page and log in."
    if caused_by(hub.RevisionNotFoundError):
        return f"The model {model!r} has no revision {config.revision!r}; name a branch, tag or commit that exists."
    if caused_by(hub.RepositoryNotFoundError, hub.HFValidationError):
        return f"There is no model {model!r}; give {MODEL_NAMES}."
    if caused_by(hub.RevisionResolutionError, hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled, ConnectionError):
        return (
            f"The model {model!r} is not on this machine and the hub cannot be reached; "
            "connect to the internet, or use 'embedded', 'smollm2', a local directory or a GGUF file."
        )
    if "trust_remote_code" in str(error):
        return (
            f"The model {model!r} brings program code of its own, which is never run here; choose a model whose "
            "architecture transformers knows."
        )
    reason = " ".join(str(error).split())[:200]
    return f"The model {model!r} cannot be loaded ({reason}); check its files or get the model again."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
