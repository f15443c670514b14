"""Chat messages to text and tokens, the same way for training and for answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from broker.errors import WorkerError

Messages = Sequence[Mapping[str, Any]]
Segment = tuple[str, float]  # a piece of text and the weight of its tokens in the loss; 0 is not learnt

# Llama 3.2's template writes today's date into the prompt; a fixed one keeps training, resuming and answering equal.
_DATE = "26 Jul 2024"
_MARKS = ("\u241e7\u241e", "\u241f3\u241f")


class Chat:
    """A tokenizer with its chat template."""

    def __init__(self, tokenizer: Any, *, model: str) -> None:
        """Take a tokenizer.

        Args:
            tokenizer: From transformers.
            model: Shown in errors.

        Raises:
            WorkerError: It has no chat template (`kind="no_chat_template"`).
        """
        if not tokenizer.chat_template:
            raise WorkerError(
                f"the tokenizer of {model} has no chat template",
                kind="no_chat_template",
                fix="take the model's instruct version, or put a chat_template.jinja into its folder",
            )
        self.tokenizer = tokenizer

    def prompt(self, messages: Messages, tools: Sequence[Any] = ()) -> list[int]:
        """Return the tokens of a prompt, ready for the assistant to go on.

        Args:
            messages: OpenAI chat messages.
            tools: OpenAI tool definitions.
        """
        return self.tokens(self.render(messages, tools, prompt=True))

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of rendered text; the template has already put the special ones."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def render(self, messages: Messages, tools: Sequence[Any] = (), *, prompt: bool = False) -> str:
        """Return messages as the model's text.

        Args:
            messages: OpenAI chat messages.
            tools: OpenAI tool definitions.
            prompt: End with the opening of an assistant's turn.
        """
        text: str = self.tokenizer.apply_chat_template(
            [_plain(message) for message in messages],
            tools=list(tools) or None,
            add_generation_prompt=prompt,
            tokenize=False,
            date_string=_DATE,
        )
        return text

    def learn(self, messages: Messages, tools: Sequence[Any] = ()) -> tuple[list[int], list[float]]:
        """Return the tokens of a conversation and the weight of each in the loss: assistant's turns only.

        Each turn is tokenized apart from what is before it, as it is when the model answers.

        Args:
            messages: Ends with an assistant's turn; a message's `weight` (0 to 1) is honoured.
            tools: OpenAI tool definitions.

        Returns:
            Token ids and their weights, of equal length.
        """
        ids: list[int] = []
        weights: list[float] = []
        for text, weight in self._segments(messages, tools):
            piece = self.tokens(text)
            ids += piece
            weights += [weight] * len(piece)
        end = self.tokenizer.eos_token_id
        if ids and end is not None and weights[-1] and not self._ends(ids):
            ids.append(end)  # a template that does not close the turn: without this the model never learns to stop
            weights.append(weights[-1])
        return ids, weights

    def _ends(self, ids: Sequence[int]) -> bool:
        special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
        return any(token in special for token in ids[-2:])

    def _segments(self, messages: Messages, tools: Sequence[Any]) -> list[Segment]:
        full = self.render(messages, tools)
        found: list[Segment] = []
        done = 0
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                start, end = self._span(full, messages, index, tools)
                found += [(full[done:start], 0.0), (full[start:end], float(message.get("weight", 1.0)))]
                done = end
        found.append((full[done:], 0.0))
        return [segment for segment in found if segment[0]]

    def _span(self, full: str, messages: Messages, index: int, tools: Sequence[Any]) -> tuple[int, int]:
        """Return where the text of an assistant's turn, with its end mark, begins and ends."""
        if index > 0:
            before = self.render(messages[:index], tools, prompt=True)
            until = self.render(messages[: index + 1], tools)
            if full.startswith(until) and until.startswith(before):
                return len(before), len(until)
        return self._span_by_marks(full, messages, index, tools)

    def _span_by_marks(self, full: str, messages: Messages, index: int, tools: Sequence[Any]) -> tuple[int, int]:
        """Find a turn by what changes when its content does: for templates that treat the last turn specially."""
        variants = [
            self.render([*messages[:index], {**messages[index], "content": mark}, *messages[index + 1 :]], tools)
            for mark in _MARKS
        ]
        head, tail = variants[0].split(_MARKS[0], 1) if variants[0].count(_MARKS[0]) == 1 else ("", "")
        if f"{head}{_MARKS[1]}{tail}" != variants[1] or not (full.startswith(head) and full.endswith(tail)):
            raise WorkerError(
                f"the chat template does not show where the assistant's turn {index} begins",
                kind="chat_template",
                fix="use a model whose template keeps the text of every turn, or rows with one assistant's turn",
            )
        start, rest = len(head), len(full) - len(tail)
        close = _close(tail, self.tokenizer)
        return start, rest + close


def _close(tail: str, tokenizer: Any) -> int:
    """Return the length of the end mark at the start of `tail`."""
    marks = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    return max((len(mark) for mark in marks if tail.startswith(mark)), default=0)


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in message.items() if key != "weight"}
    content = kept.get("content")
    if isinstance(content, list):
        parts = cast("list[dict[str, Any]]", content)
        kept["content"] = "".join(str(part.get("text", "")) for part in parts)
    elif content is None:
        kept["content"] = ""
    return kept
