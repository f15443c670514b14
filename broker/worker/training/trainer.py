"""The training loop: steps of one effective batch, with what can go wrong in each."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_

from broker.errors import WorkerError
from broker.worker.faults import is_out_of_memory
from broker.worker.training import checkpoints
from broker.worker.training.data import Order, Sample, pad
from broker.worker.training.lora import trainable
from broker.worker.training.losses import Dpo, Sft
from broker.worker.training.options import TrainOptions

if TYPE_CHECKING:
    from peft import PeftModel

    from broker.worker.models import Base
    from broker.worker.session import Session, Stop
    from broker.worker.training.dropout import Place
    from broker.worker.training.losses import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a trainer works on.

    Attributes:
        samples: The training rows.
        validation: Rows whose loss is told at the end of each epoch.
        order: Which samples each step takes.
        options: The settings.
        method: `sft` or `dpo`.
        folder: Receives the checkpoints.
        fault_rows: Fault injection for tests: micro-batches of more rows than this find no memory.
    """

    samples: Sequence[Sample]
    validation: Sequence[Sample]
    order: Order
    options: TrainOptions
    method: str
    folder: Path
    fault_rows: int | None = None


@dataclass(slots=True)
class Tally:
    """What a run adds up over its life, kept in the checkpoints.

    Attributes:
        tokens: Tokens trained on, padding left out.
        seconds: Time spent in steps.
        losses: Mean loss of each epoch, and of validation where there is one.
        epoch_sum: Loss of the present epoch's steps so far, as a sum.
        epoch_total: What that sum is to be divided by.
        last: The last step's measures.
    """

    tokens: int = 0
    seconds: float = 0.0
    losses: dict[str, float] = field(default_factory=dict[str, float])
    epoch_sum: float = 0.0
    epoch_total: float = 0.0
    last: dict[str, float] = field(default_factory=dict[str, float])


class Trainer:
    """Trains the adapters of one model. When memory runs out the micro-batch shrinks, the effective batch never."""

    def __init__(self, job: Job, base: Base, peft: PeftModel, place: Place, session: Session) -> None:
        """Make optimizer and schedule.

        Args:
            job: What to work on.
            base: Tokenizer and device.
            peft: The model with its adapters.
            place: Told what each forward pass works on, for the dropout layers.
            session: Receives events, says when to stop.
        """
        self.job = job
        self.base = base
        self.peft = peft
        self.place = place
        self.session = session
        self.micro = job.options.batch_size
        self.step = 0
        self.tally = Tally()
        self.objective: Objective = Dpo(job.options.beta) if job.method == "dpo" else Sft()
        self.parameters = trainable(peft)
        optimizer = torch.optim.AdamW(self.parameters, lr=job.options.lr, weight_decay=job.options.weight_decay)
        self.state = checkpoints.Trained(peft, optimizer, _one_cycle(optimizer, job.options, job.order.steps))

    def resume(self) -> bool:
        """Go back to the newest whole checkpoint, if there is one."""
        path = checkpoints.newest(self.job.folder, self.session)
        if path is None:
            return False
        meta = checkpoints.load(path, self.state)
        self.step, self.micro = int(meta["step"]), int(meta["micro_batch"])
        self.tally = Tally(**meta["tally"])
        # Another number of threads sums in another order.
        torch.set_num_threads(int(meta["threads"]))
        self.session.log(f"goes on from {path.name}")
        return True

    def run(self) -> Stop | None:
        """Train to the end or to a stop.

        Returns:
            Why it stopped, or None at the end.

        Raises:
            WorkerError: The loss is not a number (`kind="nan_loss"`).
        """
        order = self.job.order
        while self.step < order.steps:
            stop = self.session.stop_requested()
            if stop:
                self._save()
                return stop
            self._make_step()
            epoch_end = self.step % order.steps_per_epoch == 0
            if epoch_end:
                self._end_epoch(self.step // order.steps_per_epoch)
            if epoch_end or (self.job.options.checkpoint_steps and self.step % self.job.options.checkpoint_steps == 0):
                self._save(epoch_end=epoch_end)
        return None

    def _make_step(self) -> None:
        started = time.perf_counter()
        order = self.job.order
        samples = [self.job.samples[index] for index in order.indices(self.step)]
        rate = self.state.optimizer.param_groups[0]["lr"]
        loss, measures = self._gradients(samples)
        norm = float(clip_grad_norm_(self.parameters, self.job.options.max_grad_norm or math.inf))
        if not math.isfinite(norm):
            raise self._not_a_number("gradient", samples)
        self.state.optimizer.step()
        self.state.scheduler.step()
        self.state.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        seconds = time.perf_counter() - started
        tokens = sum(sample.tokens for sample in samples)
        self.tally.tokens += tokens
        self.tally.seconds += seconds
        self.tally.last = {"loss": loss, **measures}
        total = self.objective.total(samples)
        self.tally.epoch_sum += loss * total
        self.tally.epoch_total += total
        self._tell(rate=rate, norm=norm, tokens_per_s=tokens / seconds)

    def _tell(self, *, rate: float, norm: float, tokens_per_s: float) -> None:
        order = self.job.order
        self.session.emit(
            {
                "kind": "progress",
                "step": self.step,
                "total_steps": order.steps,
                **self.tally.last,
                "learning_rate": rate,
                "grad_norm": norm,
                "tokens_per_s": round(tokens_per_s, 1),
                "epoch": round(self.step / order.steps_per_epoch, 3),
                "eta_s": round(self.tally.seconds / self.step * (order.steps - self.step), 1),
            }
        )

    def _gradients(self, samples: Sequence[Sample]) -> tuple[float, dict[str, float]]:
        """Accumulate the gradients of an effective batch; with less memory at a time when there is too little."""
        while True:
            # What the base model itself draws (its own dropout) must be the same in a second try.
            drawn = torch.get_rng_state()
            try:
                return self._accumulate(samples)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.micro == 1:
                    raise
            self._halve()
            torch.set_rng_state(drawn)

    def _halve(self) -> None:
        """Make the micro-batch smaller. Called outside the handler, whose traceback keeps tensors alive."""
        self.state.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.micro = -(-self.micro // 2)
        accumulation = -(-self.job.options.effective_batch // self.micro)
        self.session.log(
            f"out of memory at step {self.step + 1}: micro-batch now {self.micro}, accumulation {accumulation}; "
            f"the effective batch stays {self.job.options.effective_batch}",
            level="warning",
        )

    def _accumulate(self, samples: Sequence[Sample]) -> tuple[float, dict[str, float]]:
        total = self.objective.total(samples)
        loss = torch.zeros((), dtype=torch.float64)
        sums: dict[str, torch.Tensor] = {}
        for part in _parts(samples, self.micro):
            part_loss, measures = self._forward(part)
            torch.autograd.backward(part_loss / total)
            value = part_loss.detach().double().cpu()
            if not torch.isfinite(value):
                raise self._not_a_number("loss", part)
            loss += value
            for name, measure in measures.items():
                sums[name] = sums.get(name, torch.zeros(())) + measure.cpu()
        return float(loss) / total, {name: float(value) / total for name, value in sums.items()}

    def _forward(self, samples: Sequence[Sample]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if self.job.fault_rows is not None and len(samples) > self.job.fault_rows:
            raise torch.OutOfMemoryError(f"injected: no memory for {len(samples)} rows")
        sequences = [sequence for sample in samples for sequence in sample.sequences]
        batch = pad(sequences, self.base.tokenizer.pad_token_id, self.base.device)
        self.place.at(self.step, batch.keys)
        return self.objective.sums(self.peft, batch)

    def _not_a_number(self, what: str, samples: Sequence[Sample]) -> WorkerError:
        rows = ", ".join(str(sample.row) for sample in samples)
        order = self.job.order
        return WorkerError(
            f"the {what} is not a finite number at step {self.step + 1} of {order.steps} "
            f"(epoch {order.epoch(self.step) + 1}, rows {rows} of the training data)",
            kind="nan_loss",
            fix="lower --lr, use --adapter-dtype fp32, or look at these rows; the last checkpoint is kept",
        )

    def _end_epoch(self, epoch: int) -> None:
        self.tally.losses[f"train_epoch_{epoch}"] = self.tally.epoch_sum / self.tally.epoch_total
        self.tally.epoch_sum = self.tally.epoch_total = 0.0
        if not self.job.validation:
            return
        loss = self._validation_loss()
        self.tally.losses[f"validation_epoch_{epoch}"] = loss
        self.session.log(f"validation loss after epoch {epoch}: {loss:.4f}")

    def _validation_loss(self) -> float:
        self.peft.eval()
        loss = 0.0
        with torch.no_grad():
            for part in _parts(self.job.validation, self.micro):
                loss += float(self._forward(part)[0])
        self.peft.train()
        return loss / self.objective.total(self.job.validation)

    def _save(self, *, epoch_end: bool = False) -> None:
        if self.step == 0:
            return
        meta: dict[str, Any] = {
            "step": self.step,
            "epoch": self.step / self.job.order.steps_per_epoch,
            "epoch_end": epoch_end,
            "micro_batch": self.micro,
            "threads": torch.get_num_threads(),
            "metrics": {**self.tally.last, **self.tally.losses},
            "tally": asdict(self.tally),
        }
        path = checkpoints.save(self.job.folder, self.state, meta)
        checkpoints.thin(self.job.folder)
        self.session.emit(
            {"kind": "checkpoint", "step": self.step, "model": str(path), "loss": self.tally.last["loss"]}
        )


def _parts(samples: Sequence[Sample], size: int) -> list[Sequence[Sample]]:
    """Cut an effective batch into micro-batches of rows of like length: less padding."""
    ordered = sorted(samples, key=lambda sample: (sample.length, sample.row))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _one_cycle(
    optimizer: torch.optim.Optimizer, options: TrainOptions, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule of Table 3.

    `cycle_momentum=False`: torch's default would move AdamW's beta1 between 0.85 and 0.95 against the learning rate;
    the paper's table lists no momentum cycling, and a constant beta1 of 0.9 is AdamW's own.
    """
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=options.lr,
        total_steps=max(steps, 2),  # of a single step OneCycleLR would make one at the final, vanishing rate
        pct_start=options.warmup,
        anneal_strategy="cos",
        cycle_momentum=False,
        div_factor=options.div_factor,
        final_div_factor=options.final_div_factor,
    )
