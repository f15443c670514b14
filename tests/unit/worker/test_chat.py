"""What is learnt of a conversation."""

from __future__ import annotations

from typing import Any

import pytest

from broker.errors import WorkerError
from broker.worker.chat import Chat
from tests.fakes.tiny_model import make_tokenizer

TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": " A test. "},
]
# The system prompt of Llama 3.1/3.2, with the day's date as the published template writes it.
DATED = (
    "{{- bos_token }}"
    "{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system_message = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\n' }}"
    "{{- 'Cutting Knowledge Date: December 2023\n' }}{{- 'Today Date: ' + date_string + '\n\n' }}"
    "{{- system_message }}{{- '<|eot_id|>' }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
# Like Qwen3: the last turn has an empty thought that the prompt does not end with, earlier turns have none.
THINKING = (
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '\n' }}"
    "{%- if message['role'] == 'assistant' and loop.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- message['content'] + '<|eot_id|>\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant\n' }}{%- endif %}"
)
OPEN = (
    "{%- for message in messages %}{{- message['role'] + ': ' + message['content'] + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"
)


def learnt(template: str | None, messages: list[dict[str, Any]]) -> tuple[str, list[str]]:
    """Return the whole text and the pieces that have a weight."""
    tokenizer = make_tokenizer(template)
    ids, weights = Chat(tokenizer, model="tiny").learn(messages)
    pieces: list[list[int]] = []
    before = 0.0
    for token, weight in zip(ids, weights, strict=True):
        if weight and not before:
            pieces.append([])
        if weight:
            pieces[-1].append(token)
        before = weight
    return tokenizer.decode(ids), [tokenizer.decode(piece) for piece in pieces]


def test_llama_3_learns_the_assistants_words_and_its_end() -> None:
    text, pieces = learnt(DATED, TALK)
    assert pieces == ["Hi there.<|eot_id|>", "A test.<|eot_id|>"]
    assert "Today Date: 26 Jul 2024" in text  # not today's: a run must be the same tomorrow


def test_the_tokens_before_an_answer_are_those_of_the_prompt() -> None:
    chat = Chat(make_tokenizer(DATED), model="tiny")
    ids, weights = chat.learn(TALK)
    prompt = chat.prompt(TALK[:-1])
    assert ids[: len(prompt)] == prompt and weights[len(prompt)] == 1.0 and weights[len(prompt) - 1] == 0.0


def test_a_message_of_weight_0_is_not_learnt() -> None:
    talk = [TALK[0], TALK[1], {**TALK[2], "weight": 0}, *TALK[3:]]
    assert learnt(DATED, talk)[1] == ["A test.<|eot_id|>"]


def test_a_conversation_that_the_assistant_begins() -> None:
    assert learnt(DATED, [TALK[2], TALK[1], TALK[4]])[1] == ["Hi there.<|eot_id|>", "A test.<|eot_id|>"]


def test_a_template_that_treats_the_last_turn_specially() -> None:
    _, pieces = learnt(THINKING, TALK)
    assert pieces[0] == "Hi there.<|eot_id|>" and pieces[1].endswith(" A test. <|eot_id|>\n")


def test_a_template_without_an_end_gets_one() -> None:
    _, pieces = learnt(OPEN, TALK[1:3])
    assert pieces == ["Hi there.\n<|eot_id|>"]


def test_no_template_is_an_error_with_advice() -> None:
    with pytest.raises(WorkerError) as caught:
        learnt(None, TALK)
    assert caught.value.kind == "no_chat_template" and "instruct" in caught.value.fix
