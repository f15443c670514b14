"""What a local training job may set. The defaults stand in `TrainOptions`, once."""

from __future__ import annotations

from typing import Any

from broker.providers.contract import Parameter
from broker.worker.training.options import DEFAULTS

_PAPER = "Table 3 of arXiv:2507.04889"
PRECISIONS = ("bf16", "fp32", "int8", "nf4")


def _parameter(name: str, kind: str, note: str, **bounds: Any) -> Parameter:
    types = ("float", "int") if kind == "float" else (kind,)
    return Parameter(name=name, types=types, default=getattr(DEFAULTS, name), help=note, **bounds)


PARAMETERS: tuple[Parameter, ...] = (
    _parameter(
        "precision",
        "str",
        f"precision of the frozen base; int8 and nf4 keep the head in bf16, on a CPU they are weight-only ({_PAPER})",
        choices=PRECISIONS,
    ),
    _parameter("rank", "int", f"rank of the adapters ({_PAPER})", minimum=1, maximum=1024),
    _parameter("alpha", "int", f"scaling of the adapters; equal to the rank when not given ({_PAPER})", minimum=1),
    _parameter("dropout", "float", f"dropout of the adapters' inputs ({_PAPER})", minimum=0.0, maximum=0.95),
    _parameter("lr", "float", f"highest learning rate ({_PAPER})", minimum=0.0, exclusive_minimum=True, maximum=10.0),
    _parameter("epochs", "int", f"passes over the rows ({_PAPER})", minimum=1, maximum=1000),
    _parameter("batch_size", "int", f"rows of a micro-batch ({_PAPER})", minimum=1, maximum=4096),
    _parameter("grad_accum", "int", f"micro-batches of a step ({_PAPER})", minimum=1, maximum=4096),
    Parameter(
        name="target_modules",
        types=("list", "str"),
        default=DEFAULTS.target_modules,
        help=f"layers that get an adapter, or all-linear ({_PAPER})",
    ),
    _parameter(
        "adapter_dtype",
        "str",
        "precision of the adapters; the paper's is bf16, which rounds many of AdamW's updates away",
        choices=("fp32", "bf16"),
    ),
    _parameter("warmup", "float", f"share of the steps in which the rate rises ({_PAPER})", minimum=0.0, maximum=1.0),
    _parameter("div_factor", "float", f"highest over first learning rate ({_PAPER})", minimum=1.0),
    _parameter("final_div_factor", "float", f"first over last learning rate ({_PAPER})", minimum=1.0),
    _parameter("weight_decay", "float", "of AdamW; torch's default, the paper names none", minimum=0.0, maximum=1.0),
    _parameter("max_grad_norm", "float", "gradients are clipped to this norm; 0 does not clip", minimum=0.0),
    _parameter("max_length", "int", "longest row, tokens; the rest is cut and reported", minimum=8, maximum=1 << 20),
    _parameter(
        "beta",
        "float",
        "DPO: strength of the tie to the base (arXiv:2305.18290)",
        minimum=0.0,
        exclusive_minimum=True,
        maximum=100.0,
    ),
    _parameter("gradient_checkpointing", "bool", "recompute activations: less memory, more time"),
    _parameter("checkpoint_steps", "int", "save the state after so many steps and every epoch; 0: epochs", minimum=0),
)
