"""Talking to a model at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.cli.keyboard import Keyboard
from broker.cli.output import OUT
from broker.errors import EXIT_OK, BrokerError

if TYPE_CHECKING:
    from broker.api import Broker
    from broker.jobs.spec import Decoding, ModelRef


class Conversation:
    """Keeps what was said, and asks with all of it."""

    def __init__(self, broker: Broker, model: ModelRef, *, system: str | None, decoding: Decoding) -> None:
        """Begin a conversation.

        Args:
            broker: The open broker.
            model: The model to ask.
            system: The system message, if any.
            decoding: How answers are drawn.
        """
        self._broker = broker
        self._model = model
        self._decoding = decoding
        self._said: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []

    async def ask(self, message: str) -> str:
        """Say something and return the answer.

        Raises:
            BrokerError: The model did not answer.
        """
        from broker.providers.contract import CompletionRequest

        said = [*self._said, {"role": "user", "content": message}]
        request = CompletionRequest(id=str(len(said)), messages=tuple(said), decoding=self._decoding)
        answer = (await self._broker.complete(self._model, [request]))[0]
        if answer.failure:
            raise BrokerError(f"the model did not answer: {answer.failure}")
        self._said = [*said, {"role": "assistant", "content": answer.text}]
        return answer.text

    async def run(self, *, interactive: bool) -> int:
        """Read lines and answer them until the input ends.

        Args:
            interactive: Prompt for each line.
        """
        keyboard = Keyboard()
        if interactive:
            OUT.note(f"{self._model.label}; an empty line or Ctrl-D ends", style="dim")
        while True:
            if interactive:
                OUT.notes.print("> ", end="", markup=False)
            message = await keyboard.line()
            if message is None or not message.strip():
                return EXIT_OK
            self.show(await self.ask(message))

    def show(self, answer: str) -> None:
        """Print an answer."""
        if OUT.json:
            OUT.line({"model": self._model.label, "answer": answer})
        else:
            OUT.say(answer)
