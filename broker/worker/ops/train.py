"""Train a LoRA adapter.

Arguments (JSON): `run` (the run's folder), `model` (folder or hub id), `train` and `validation` (paths of canonical
rows; `validation` may be null), `method` (`sft`, `dpo`), `parameters` (see `broker.worker.training.options`), `seed`,
`data` (`name`, `sha256`, `rows` of the training data, for the model card).
`fault_memory_rows` is fault injection for tests: micro-batches of more rows behave as if memory had run out.

Events, also written to the run's `events.jsonl`: `progress` (step, total_steps, loss, learning_rate, grad_norm,
tokens_per_s, epoch, eta_s; with DPO reward_margin, reward_accuracy), `checkpoint` (step, model, loss), `log`.

Result: `{"stopped": reason}` or `{"stopped": null, "adapter", "steps", "loss", "trained_tokens", "train_s", …}`; `loss`
is the last epoch's mean. The run's `status.json` says the same to whoever looks.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from broker.worker.durable import new_folder, publish, sweep
from broker.worker.faults import fault
from broker.worker.locks import waiting
from broker.worker.models import MODELS, base_for
from broker.worker.runfolder import EventLog, RunFolder
from broker.worker.session import Session
from broker.worker.training.card import model_card
from broker.worker.training.checkpoints import save_adapter
from broker.worker.training.data import Order, read_samples
from broker.worker.training.dropout import Place
from broker.worker.training.lora import attach, detach
from broker.worker.training.options import TrainOptions, parse
from broker.worker.training.trainer import Job, Trainer

if TYPE_CHECKING:
    from broker.worker.models import Base
    from broker.worker.session import Stop

_STATES: dict[Stop, str] = {"cancel": "cancelled", "pause": "paused", "shutdown": "interrupted"}


def train(args: dict[str, Any], session: Session) -> dict[str, Any]:
    """Train, or go on training, the run in a folder.

    Args:
        args: See the module.
        session: The call.

    Returns:
        See the module.

    Raises:
        WorkerError: It failed; the run's status says the same.
    """
    run = RunFolder(Path(args["run"]))
    tell = "waiting: another process still trains this run"
    with waiting(run.trainer_lock, session.wait_for_stop, lambda: session.log(tell)) as mine:
        if not mine:
            return {"stopped": session.stop_requested()}
        log = EventLog(run)
        try:
            return _in_folder(args, run, _Watched(session, run, log))
        finally:
            log.close()


class _Watched(Session):
    """A session that also writes the events down, and looks for wishes of other brokers."""

    def __init__(self, session: Session, run: RunFolder, log: EventLog) -> None:
        super().__init__(session.emit, device=session.device_name)
        self._outer = session
        self._run = run
        self._log = log

    def emit(self, event: Any) -> None:
        self._log.append(event)
        self._outer.emit(event)

    def stop_requested(self) -> Stop | None:
        wish = self._run.wish()
        if wish == "cancel":
            self._outer.request_stop("cancel")
        elif wish == "pause":
            self._outer.request_stop("pause")
        return self._outer.stop_requested()


def _in_folder(args: dict[str, Any], run: RunFolder, session: Session) -> dict[str, Any]:
    run.set_status("running")
    sweep(run.root)
    if run.checkpoints.exists():
        sweep(run.checkpoints)
    try:
        result = _train(args, run, session)
    except Exception as error:
        why = fault(error)
        session.log(why["message"], level="error")
        run.set_status("failed", error=why)
        raise
    stopped: Stop | None = result["stopped"]
    run.set_status(_STATES[stopped] if stopped else "succeeded", **({} if stopped else {"result": result}))
    return result


def _train(args: dict[str, Any], run: RunFolder, session: Session) -> dict[str, Any]:
    options = parse(args["parameters"])
    run.checkpoints.mkdir(exist_ok=True)
    base = base_for({**args, "precision": options.precision}, session.device_name)
    place = Place(args["seed"])
    threads = torch.get_num_threads()
    peft = attach(base, options, seed=args["seed"], place=place)
    try:
        job, cut = _job(args, options, base, run, session)
        trainer = Trainer(job, base, peft, place, session)
        trainer.resume()
        stopped = trainer.run()
        result: dict[str, Any] = {"stopped": stopped} if stopped else _result(trainer, cut)
        if not stopped:
            _write_adapter(args, run, trainer, result)
    except BaseException:
        MODELS.clear()  # whatever went wrong, the next job gets a base that nobody has touched
        raise
    finally:
        torch.set_num_threads(threads)  # a resumed run may have changed it
    detach(base, peft)
    return result


def _job(args: dict[str, Any], options: TrainOptions, base: Base, run: RunFolder, session: Session) -> tuple[Job, int]:
    longest = min(options.max_length, base.longest)
    samples, cut = read_samples(Path(args["train"]), base.chat, max_length=longest, session=session)
    held_out = args.get("validation")
    validation = read_samples(Path(held_out), base.chat, max_length=longest, session=session)[0] if held_out else []
    order = Order(len(samples), options.epochs, options.effective_batch, args["seed"])
    job = Job(
        samples=samples,
        validation=validation,
        order=order,
        options=options,
        method=args["method"],
        folder=run.checkpoints,
        fault_rows=args.get("fault_memory_rows"),
    )
    return job, cut


def _result(trainer: Trainer, cut: int) -> dict[str, Any]:
    tally = trainer.tally
    return {
        "stopped": None,
        "steps": trainer.step,
        **tally.last,
        **tally.losses,
        "loss": tally.losses[f"train_epoch_{trainer.job.order.epochs}"],
        "trained_tokens": tally.tokens,
        "train_s": round(tally.seconds, 3),
        "tokens_per_s": round(tally.tokens / tally.seconds, 1) if tally.seconds else 0.0,
        "rows": len(trainer.job.samples),
        "truncated_rows": cut,
        "micro_batch": trainer.micro,
        "trainable_parameters": sum(parameter.numel() for parameter in trainer.parameters),
        "device": str(trainer.base.device),
    }


def _write_adapter(args: dict[str, Any], run: RunFolder, trainer: Trainer, result: dict[str, Any]) -> None:
    card = model_card(
        model=str(args["model"]),
        method=args["method"],
        options=trainer.job.options,
        seed=args["seed"],
        data=args["data"],
        result={name: value for name, value in result.items() if name != "stopped"},
    )
    folder = new_folder(run.adapter)
    try:
        save_adapter(folder, trainer.peft)
        (folder / "README.md").write_text(card, encoding="utf-8")
        publish(folder, run.adapter)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    result["adapter"] = str(run.adapter)
