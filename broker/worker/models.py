"""Base models and adapters in the torch process: loaded once, kept while they are used."""

from __future__ import annotations

import importlib
import inspect
import logging
import warnings
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from broker.errors import WorkerError
from broker.worker.chat import Chat
from broker.worker.devices import pick, require_precision
from broker.worker.faults import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from peft import PeftModel

_KEPT_BASES = 2
_KEPT_ADAPTERS = 8
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, slots=True)
class BaseKey:
    """What makes a loaded base the same one."""

    model: str
    precision: str
    device: str


class Base:
    """A frozen base model with its tokenizer and the adapters that were put on it."""

    def __init__(self, key: BaseKey) -> None:
        """Load the model.

        Args:
            key: What to load.

        Raises:
            WorkerError: The machine lacks the precision, or the model cannot be chatted with.
        """
        self.key = key
        self.device = torch.device(key.device)
        require_precision(key.precision, self.device)
        self.tokenizer = _tokenizer(key.model)
        self.chat = Chat(self.tokenizer, model=key.model)
        self.model = _load(key)
        self._peft: Any = None  # a PeftModel, once there is an adapter
        self._adapters: OrderedDict[str, None] = OrderedDict()

    @property
    def longest(self) -> int:
        """Return how many tokens the model takes."""
        return int(getattr(self.model.config, "max_position_embeddings", 0) or 1 << 30)

    @property
    def stop_ids(self) -> list[int]:
        """Return the tokens that end an answer."""
        listed: list[int] | int | None = self.model.generation_config.eos_token_id
        ids = listed if isinstance(listed, list) else [listed]
        own: int | None = self.tokenizer.eos_token_id
        return sorted({token for token in [*ids, own] if token is not None})

    def bare(self) -> Any:
        """Return the base without any adapter on it, to be trained on."""
        if self._peft is not None:
            self._peft.unload()
            self._forget_peft()
        return self.model

    def release(self, trained: PeftModel) -> None:
        """Take a trained adapter off again.

        Args:
            trained: The model that `bare` was wrapped into.
        """
        trained.unload()
        self._forget_peft()

    def answering(self, adapter: Path | None) -> tuple[Any, AbstractContextManager[Any]]:
        """Return the module to call and the context to call it in.

        Args:
            adapter: Folder of a PEFT adapter; None is the base itself.
        """
        if adapter is None:
            if self._peft is None:
                return self.model.eval(), nullcontext()
            return self._peft.eval(), self._peft.disable_adapter()
        self._adapter(adapter)
        return self._peft.eval(), nullcontext()

    def stacked(self, adapters: Sequence[Path | None]) -> tuple[Any, list[str | None]]:
        """Return the module to call for several models in step, and what their adapters are called on it.

        Args:
            adapters: Folders; None is the base itself. No more of them than are kept.
        """
        names = [None if folder is None else self._adapter(folder) for folder in adapters]
        return (self.model if self._peft is None else self._peft).eval(), names

    def _adapter(self, folder: Path) -> str:
        """Make an adapter the active one, loading it when needed; return what it is called on the base."""
        from peft import PeftModel

        weights = _weights(folder)
        # The same folder may hold another adapter later.
        name = f"a{abs(hash((str(folder.resolve()), weights.stat().st_mtime_ns, weights.stat().st_size))):x}"
        if self._peft is None:
            kind: Any = PeftModel
            self._peft = kind.from_pretrained(self.model, str(folder), adapter_name=name)
        elif name not in self._adapters:
            self._peft.load_adapter(str(folder), adapter_name=name)
        peft: Any = self._peft
        if name not in self._adapters:
            _narrow(peft, name, weights)
        self._adapters[name] = None
        self._adapters.move_to_end(name)
        peft.set_adapter(name)
        while len(self._adapters) > _KEPT_ADAPTERS:
            peft.delete_adapter(self._adapters.popitem(last=False)[0])
        return name

    def _forget_peft(self) -> None:
        self._peft = None
        self._adapters.clear()
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config


class Models:
    """The bases that are loaded, least recently used first out."""

    def __init__(self) -> None:
        """Begin empty."""
        self._bases: OrderedDict[BaseKey, Base] = OrderedDict()

    def base(self, model: str, precision: str, device: str | None) -> Base:
        """Return a base, loading it when needed.

        Args:
            model: Folder or hub id.
            precision: `bf16`, `fp32`, `int8`, `nf4`.
            device: As for `broker.worker.devices.pick`.
        """
        key = BaseKey(model, precision, str(pick(device)))
        if key not in self._bases:
            while len(self._bases) >= _KEPT_BASES:
                self._bases.popitem(last=False)
            self._bases[key] = self._load(key)
        self._bases.move_to_end(key)
        return self._bases[key]

    def _load(self, key: BaseKey) -> Base:
        full = False
        try:
            return Base(key)
        except (RuntimeError, MemoryError) as error:
            full = is_out_of_memory(error) and bool(self._bases)
            if not full:
                raise
        self.clear()  # outside the handler: its traceback would keep the half-loaded model alive
        return Base(key)

    def clear(self) -> None:
        """Drop everything."""
        self._bases.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


MODELS = Models()


def keeps_logits(model: Any) -> bool:
    """Say whether a model can be asked for the logits of some places only (`logits_to_keep`).

    Args:
        model: With or without adapters.
    """
    whole = getattr(model, "get_base_model", lambda: model)()
    return "logits_to_keep" in inspect.signature(whole.forward).parameters


def base_for(args: Mapping[str, Any], device: str | None) -> Base:
    """Return the base that an op's arguments name.

    Args:
        args: With `model` and `precision`.
        device: The session's device.
    """
    return MODELS.base(str(args["model"]), str(args.get("precision") or "bf16"), device)


def _tokenizer(model: str) -> Any:
    auto: Any = AutoTokenizer
    try:
        tokenizer = auto.from_pretrained(model, trust_remote_code=False)
    except (ValueError, TypeError, OSError) as error:
        if Path(model).is_dir():
            raise WorkerError(
                f"the folder has no usable tokenizer: {str(error).splitlines()[0]}",
                kind="no_tokenizer",
                where=model,
                fix="copy tokenizer.json and tokenizer_config.json of the model into it",
            ) from error
        raise
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked everywhere, so its id does not matter
    return tokenizer


def _load(key: BaseKey) -> Any:
    _quiet()
    torch.use_deterministic_algorithms(True, warn_only=True)
    auto: Any = AutoModelForCausalLM
    try:
        model = auto.from_pretrained(
            key.model,
            dtype=_DTYPES.get(key.precision, torch.bfloat16),
            quantization_config=_quantization(key.precision),
            device_map={"": key.device},
            use_safetensors=True,
            trust_remote_code=False,
        )
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        fix = "use a model whose architecture transformers knows"
        raise WorkerError(f"{key.model} needs code of its own, which is never run", kind="code", fix=fix) from error
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if key.precision == "nf4":
        _leave_unpacked(model)
    return model.eval()


def _leave_unpacked(model: Any) -> None:
    """Keep 4-bit weights as they were loaded.

    On processors with AVX512-BF16 bitsandbytes packs them anew at the first answer, and unpacks them with a loss
    whenever PEFT reads the model's state to load one more adapter: the base would say something else afterwards.
    """
    layers: Any = importlib.import_module("bitsandbytes.nn")
    for module in model.modules():
        if isinstance(module, layers.Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _quantization(precision: str) -> Any:
    """Return how the weights are quantized: as in Table 3 of arXiv:2507.04889, the head never is."""
    config: Any = BitsAndBytesConfig
    if precision == "int8":
        return config(load_in_8bit=True, llm_int8_threshold=6.0, llm_int8_skip_modules=["lm_head"])
    if precision == "nf4":
        return config(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=["lm_head"],
        )
    return None


def _weights(folder: Path) -> Path:
    path = folder / "adapter_model.safetensors"
    if not path.exists():
        fix = "train it again, or name a folder with adapter_config.json and adapter_model.safetensors"
        raise WorkerError("no adapter here", kind="no_adapter", where=str(folder), fix=fix)
    return path


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file."""
    safetensors: Any = importlib.import_module("safetensors.torch")
    tensors: dict[str, torch.Tensor] = safetensors.load_file(str(path))
    return tensors


def _narrow(peft: PeftModel, name: str, weights: Path) -> None:
    """Give a loaded adapter the dtype it was trained in; PEFT makes all of them fp32."""
    dtypes = {tensor.dtype for tensor in read_tensors(weights).values()}
    if len(dtypes) == 1:
        dtype = dtypes.pop()
        for parameter_name, parameter in peft.named_parameters():
            if f".{name}." in parameter_name:
                parameter.data = parameter.data.to(dtype)


def _quiet() -> None:
    transformers_logging: Any = importlib.import_module("transformers.utils.logging")
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="MatMul8bitLt")  # once per layer and call
