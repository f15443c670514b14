"""The generate op, called as the torch process calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.worker.ops.generate import generate
from broker.worker.session import Session

if TYPE_CHECKING:
    from pathlib import Path


def requests(count: int, **more: Any) -> list[dict[str, Any]]:
    words = ["apple", "a river in spring", "stone", "lamp"]
    return [
        {
            "id": str(number),
            "messages": [{"role": "user", "content": f"What is {words[number % 4]} {number}?"}],
            "max_tokens": 12,
            **more,
        }
        for number in range(count)
    ]


def answers(args: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    generate(args, Session(events.append, device="cpu"))
    found = [answer for event in events if event["kind"] == "answers" for answer in event["answers"]]
    return {answer["id"]: answer for answer in found}, events


def texts(args: dict[str, Any]) -> dict[str, str]:
    return {name: answer["text"] for name, answer in answers(args)[0].items()}


def test_the_same_call_gives_the_same_text_greedy_and_sampled(tiny: Path) -> None:
    for temperature in (0.0, 1.0):
        args = {"model": str(tiny), "requests": requests(10, temperature=temperature), "batch_size": 4}
        assert texts(args) == texts(args)
    sampled = {"model": str(tiny), "requests": requests(10, temperature=1.0, seed=1), "batch_size": 4}
    assert texts(sampled) != texts(args)


def test_rows_left_over_give_the_text_they_would_have_given(tiny: Path) -> None:
    args = {"model": str(tiny), "requests": requests(10, temperature=0.9), "batch_size": 4}
    whole, _ = answers(args)
    left = [request for request in requests(10, temperature=0.9) if whole[request["id"]]["batch"] != 1]
    rest = texts({**args, "requests": left})
    assert rest == {name: whole[name]["text"] for name in rest} and len(rest) == 6


def test_greedy_agrees_with_transformers(tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ours, _ = answers({"model": str(tiny), "precision": "fp32", "requests": requests(3), "batch_size": 3})
    model: Any = AutoModelForCausalLM.from_pretrained(tiny)
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny)
    for request in requests(3):
        ids = tokenizer.apply_chat_template(
            request["messages"], add_generation_prompt=True, return_tensors="pt", date_string="26 Jul 2024"
        )["input_ids"]
        with torch.no_grad():
            made = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True) == ours[request["id"]]["text"]


def test_streamed_deltas_add_up_and_logprobs_belong_to_them(tiny: Path) -> None:
    args = {"model": str(tiny), "requests": requests(3), "stream_tokens": True, "logprobs": 2}
    found, events = answers(args)
    for name, answer in found.items():
        deltas = [event for event in events if event["kind"] == "delta" and event["id"] == name]
        assert "".join(event["text"] for event in deltas) == answer["text"]
        assert [one for event in deltas for one in event["logprobs"]] == answer["logprobs"]
        assert all(len(one["top_logprobs"]) == 2 for one in answer["logprobs"])
        assert answer["logprobs"][0]["logprob"] == answer["logprobs"][0]["top_logprobs"][0]["logprob"]


def test_stop_texts_end_an_answer_and_are_not_part_of_it(tiny: Path) -> None:
    plain, _ = answers({"model": str(tiny), "requests": requests(1)})
    stop = plain["0"]["text"][4:6]
    args = {"model": str(tiny), "requests": requests(1, stop=[stop]), "stream_tokens": True}
    found, events = answers(args)
    assert found["0"]["text"] == plain["0"]["text"][: plain["0"]["text"].index(stop)]
    assert found["0"]["finish_reason"] == "stop"
    assert "".join(event["text"] for event in events if event["kind"] == "delta") == found["0"]["text"]


def test_a_prompt_that_is_too_long_is_refused_and_counted(tiny: Path) -> None:
    long = {"id": "long", "messages": [{"role": "user", "content": "word " * 300}]}
    found, _ = answers({"model": str(tiny), "requests": [long, *requests(1)]})
    assert "the model takes 512" in found["long"]["failure"] and found["0"]["failure"] is None


def test_lengths_and_counts(tiny: Path) -> None:
    found, events = answers({"model": str(tiny), "requests": requests(5), "batch_size": 2})
    assert all(a["finish_reason"] in ("stop", "length") and a["output_tokens"] <= 12 for a in found.values())
    assert [event["step"] for event in events if event["kind"] == "progress"] == [2, 4, 5]
