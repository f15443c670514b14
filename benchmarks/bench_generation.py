"""How fast prompts are answered on this machine, side by side in one run; on a GPU when there is one.

    python benchmarks/bench_generation.py [--rows 16] [--adapters 4]

- The worker's batches (sorted by length) against `transformers.generate`, one prompt after another: same base, same
  prompts, greedy, answers of 8 to 64 tokens. In fp32 the texts must be the same.
- Several adapters of one base: the base loaded anew for each, one after another over one loaded base, and all in one
  call. The texts must be the same in every precision.

Two models: the sandbox (built first when it is missing, about a minute), and a Llama of random weights whose matrices
are large enough to mean something (hidden size 1024, 8 layers, 100 million parameters).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))
# As in the torch process: threads that wait do not spin.
os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "TORCHDYNAMO_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"})

from broker.sandbox import rows as sandbox_rows
from broker.sandbox.making import ensure_model
from broker.settings import load_settings
from broker.worker.pool import WorkerPool

ROUNDS = {"sandbox": 3}
Requests = list[dict[str, Any]]
Texts = dict[str, str]


@dataclass(frozen=True)
class Run:
    """What came out, how long it took, and how many seconds of CPU (the wall clock measures the neighbours too)."""

    texts: Texts
    tokens: int
    seconds: float
    cpu_s: float


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]


def requests(count: int) -> Requests:
    """Questions of the sandbox, each with a limit of its own: answers end at different places."""
    draw = Random(713)
    made = sandbox_rows("casual", count, 0, "validation")
    return [
        {"id": str(number), "messages": row["messages"][:1], "max_tokens": draw.choice([8, 12, 16, 24, 32, 48, 64])}
        for number, row in enumerate(made)
    ]


def large_model(folder: Path, like: Path) -> Path:
    """Make a Llama of random weights with the sandbox's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer: Any = AutoTokenizer.from_pretrained(like)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=8,
        num_attention_heads=16,
        num_key_value_heads=8,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_adapters(model: Path, folder: Path, count: int) -> dict[str, str | None]:
    """Write adapters of random weights, as the paper's: rank 16 on the attention's four projections."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made: dict[str, str | None] = {}
    for number in range(count):
        torch.manual_seed(number)
        base: Any = AutoModelForCausalLM.from_pretrained(model)
        targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
        config = LoraConfig(r=16, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(base, config).save_pretrained(folder / f"adapter-{number}")
        made[f"adapter-{number}"] = str(folder / f"adapter-{number}")
    return made


def ask(model: Path, precision: str, sets: dict[str, str | None], asked: Requests) -> Run:
    """Have the worker's op ask models (folders of adapters by name; None is the base) the same."""
    from broker.worker.ops.generate import generate
    from broker.worker.session import Session

    listed = [{"name": name, "adapter": folder, "requests": asked} for name, folder in sets.items()]
    args = {"model": str(model), "precision": precision, "sets": listed}
    found: dict[str, dict[str, Any]] = {}

    def hear(event: dict[str, Any]) -> None:
        if event["kind"] == "answers":
            found.setdefault(event["set"], {}).update({one["id"]: one for one in event["answers"]})

    watch = Watch()
    generate(args, Session(hear))
    took = watch.read()
    texts = {f"{name}/{id_}": one["text"] for name, answers in found.items() for id_, one in answers.items()}
    return Run(texts, sum(one["output_tokens"] for answers in found.values() for one in answers.values()), *took)


def one_by_one(model: Path, precision: str, asked: Requests) -> Run:
    """Ask `transformers.generate`, one prompt after another, on the base that the worker has loaded."""
    import torch

    from broker.worker.models import MODELS

    base = MODELS.base(str(model), precision, None)
    texts: Texts = {}
    tokens = 0
    watch = Watch()
    for request in asked:
        ids = torch.tensor([base.chat.prompt(request["messages"], ())], device=base.device)
        with torch.inference_mode():
            made = base.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=request["max_tokens"],
                do_sample=False,
                eos_token_id=base.stop_ids,
                pad_token_id=base.tokenizer.pad_token_id,
            )[0, ids.shape[1] :]
        texts[f"base/{request['id']}"] = base.tokenizer.decode(made, skip_special_tokens=True)
        tokens += len(made)
    return Run(texts, tokens, *watch.read())


def loaded_for_each(model: Path, precision: str, adapters: dict[str, str | None], asked: Requests) -> Run:
    from broker.worker.models import MODELS

    runs: list[Run] = []
    for name, folder in adapters.items():
        MODELS.clear()
        runs.append(ask(model, precision, {name: folder}, asked))
    return added(runs)


def one_after_another(model: Path, precision: str, adapters: dict[str, str | None], asked: Requests) -> Run:
    return added([ask(model, precision, {name: folder}, asked) for name, folder in adapters.items()])


def added(runs: list[Run]) -> Run:
    texts = {id_: text for run in runs for id_, text in run.texts.items()}
    numbers = ((run.tokens, run.seconds, run.cpu_s) for run in runs)
    tokens, seconds, cpu_s = map(sum, zip(*numbers, strict=True))
    return Run(texts, int(tokens), seconds, cpu_s)


def show(what: str, runs: list[Run], first: list[Run]) -> None:
    """Print the best of some rounds beside the best of the first way."""
    run, base = (min(some, key=lambda one: one.seconds) for some in (runs, first))
    cpu_s, base_cpu_s = (min(one.cpu_s for one in some) for some in (runs, first))
    same = sum(run.texts[id_] == text for id_, text in base.texts.items())
    print(
        f"  {what:42} {run.tokens / run.seconds:7.0f} tokens/s {base.seconds / run.seconds:5.2f} × "
        f"{run.seconds:6.2f} s {cpu_s:6.2f} s of CPU ({base_cpu_s / cpu_s:5.2f} ×) {same:4}/{len(base.texts)} texts",
        flush=True,
    )


def compare(model: Path, precision: str, asked: Requests, adapters: dict[str, str | None], rounds: int) -> None:
    """Print a model's table; the ways are measured in turns."""
    from broker.worker.models import MODELS

    base: dict[str, str | None] = {"base": None}
    ask(model, precision, base, asked[:2])  # loaded and warm
    plain = [one_by_one(model, precision, asked)]
    show("transformers.generate, one by one", plain, plain)
    show("batched, sorted by length", [ask(model, precision, base, asked) for _ in range(rounds)], plain)
    anew = [loaded_for_each(model, precision, adapters, asked)]
    after: list[Run] = []
    together: list[Run] = []
    for _ in range(rounds):
        after.append(one_after_another(model, precision, adapters, asked))
        together.append(ask(model, precision, adapters, asked))
    MODELS.clear()
    count = len(adapters)
    show(f"{count} adapters, the base loaded for each", anew, anew)
    show(f"{count} adapters one after another on one base", after, anew)
    show(f"{count} adapters together", together, anew)
    if any(run.texts != anew[0].texts for run in [*after, *together]):
        raise SystemExit("an adapter says something else when others are asked at the same time")


async def sandbox() -> Path:
    cache = load_settings().cache_dir
    async with anyio.create_task_group() as tasks:
        with tempfile.TemporaryDirectory() as folder:
            workers = WorkerPool(Path(folder), tasks)
            try:
                return await ensure_model(cache, workers)
            finally:
                await workers.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16, help="prompts")
    parser.add_argument("--adapters", type=int, default=4, help="adapters on one base")
    options = parser.parse_args()
    small = anyio.run(sandbox)

    import torch
    from transformers.utils import logging as transformers_logging

    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    transformers_logging.disable_progress_bar()
    asked = requests(options.rows)
    device = "cuda" if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    with tempfile.TemporaryDirectory() as made:
        large = large_model(Path(made) / "large", small)
        for name, model in (("sandbox", small), ("random Llama, hidden 1024, 8 layers", large)):
            adapters = make_adapters(model, Path(made) / name, options.adapters)
            for precision in ("fp32", "bf16"):
                print(f"{name}, {precision}, {len(asked)} prompts, {device}")
                compare(model, precision, asked, adapters, ROUNDS.get(name, 2))


if __name__ == "__main__":
    main()
