"""Adapters on a shared base, merging, perplexity, embedding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from broker.errors import WorkerError
from broker.worker.models import MODELS
from broker.worker.ops.generate import generate
from broker.worker.ops.merge import merge
from broker.worker.ops.perplexity import perplexity
from broker.worker.ops.train import train
from broker.worker.session import Session
from tests.fakes.tiny_model import chat_row

Make = Callable[..., dict[str, Any]]


def trained(args: dict[str, Any]) -> str:
    return str(train(args, Session(device="cpu"))["adapter"])


def texts(model: str, adapter: str | None, precision: str = "fp32") -> list[str]:
    events: list[dict[str, Any]] = []
    requests = [{"id": str(n), "messages": chat_row(n)["messages"][:1], "max_tokens": 16} for n in range(6)]
    args = {"model": model, "adapter": adapter, "precision": precision, "requests": requests}
    generate(args, Session(events.append, device="cpu"))
    answers = [answer for event in events if event["kind"] == "answers" for answer in event["answers"]]
    return [answer["text"] for answer in sorted(answers, key=lambda answer: int(answer["id"]))]


def test_several_adapters_share_one_base(train_args: Make) -> None:
    make: dict[str, Any] = {"epochs": 4, "target_modules": ["q_proj", "v_proj"], "adapter_dtype": "bf16"}
    one = trained(train_args("one", parameters={"epochs": 4}))
    two = trained(train_args("two", parameters=make, seed=5))
    model = train_args()["model"]
    MODELS.clear()
    alone = [texts(model, adapter) for adapter in (None, one, two)]
    assert len({tuple(found) for found in alone}) == 3
    base = MODELS.base(model, "fp32", "cpu")
    # In turns on the same base, in another order: every model says what it said alone.
    for adapter, wanted in ((two, alone[2]), (None, alone[0]), (one, alone[1]), (two, alone[2]), (None, alone[0])):
        assert texts(model, adapter) == wanted
    assert MODELS.base(model, "fp32", "cpu") is base
    kinds = {p.dtype for name, p in base.model.named_parameters() if "lora_" in name}
    assert kinds == {torch.float32, torch.bfloat16}


def test_training_on_a_base_that_has_answered_is_not_disturbed(train_args: Make) -> None:
    first = trained(train_args("first"))
    texts(train_args()["model"], first)
    second = trained(train_args("second"))
    texts(train_args()["model"], None)
    files = [Path(folder) / "adapter_model.safetensors" for folder in (first, second)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_trained_model_answers_as_it_learnt(train_args: Make) -> None:
    adapter = trained(train_args(parameters={"epochs": 60, "dropout": 0.0, "rank": 16}))
    assert texts(train_args()["model"], adapter)[0].startswith("A ")


def test_merging_gives_a_model_that_needs_no_peft(train_args: Make, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    args = train_args(parameters={"epochs": 4, "precision": "int8"})
    adapter = trained(args)
    output = tmp_path / "merged"
    result = merge({"model": args["model"], "adapter": adapter, "output": str(output)}, Session(device="cpu"))
    assert 0 < result["max_abs_diff"] < 0.5 * result["logit_scale"] and result["argmax_agreement"] > 0.8
    model = AutoModelForCausalLM.from_pretrained(output)
    assert model.dtype == torch.bfloat16
    assert (output / "chat_template.jinja").exists() and not list(tmp_path.glob(".new-*"))
    assert texts(str(output), None, "bf16") != texts(args["model"], None, "bf16")


def test_perplexity_of_what_was_learnt_falls(train_args: Make) -> None:
    args = train_args(parameters={"epochs": 6})
    adapter = trained(args)
    ask = {"model": args["model"], "precision": "fp32", "rows": [chat_row(n) for n in range(9)], "batch_size": 4}
    events: list[dict[str, Any]] = []
    before = perplexity(ask, Session(device="cpu"))
    after = perplexity({**ask, "adapter": adapter}, Session(events.append, device="cpu"))
    assert after["perplexity"] < before["perplexity"] and after["rows"] == 9
    scores = [score for event in events if event["kind"] == "scores" for score in event["rows"]]
    assert sorted(score["index"] for score in scores) == list(range(9))
    assert sum(score["nats"] for score in scores) == pytest.approx(after["nats"])
    answer = len("A apple is nice.") + 1  # bytes, and the end mark
    assert next(score for score in scores if score["index"] == 0)["tokens"] == answer


def test_a_folder_without_an_adapter_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no adapter here"):
        texts(str(tiny), str(tmp_path))


def test_embedding_is_normalized_and_in_order(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    from broker.worker.ops.embed import embed
    from tests.fakes.tiny_model import make_tokenizer

    folder = str(tmp_path / "encoder")
    SentenceTransformer(modules=[StaticEmbedding(make_tokenizer(None), embedding_dim=8)], device="cpu").save(folder)
    texts = ["a long text about apples", "b", "a long text about apples"]
    result = embed({"model": folder, "texts": texts}, Session(device="cpu"))
    vectors = torch.tensor(result["vectors"])
    assert vectors.shape == (3, 8) and result["dimension"] == 8
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.equal(vectors[0], vectors[2]) and result["version"].startswith("sentence-transformers ")
