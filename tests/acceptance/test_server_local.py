"""`broker serve` as a process, the official SDK before it, real LoRA training behind it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from broker.jobs.states import JobKind, State
from broker.jobs.store import open_store
from tests.fakes.broker_server import load_wire
from tests.fakes.tiny_model import build_tiny, chat_row, preference_row

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from openai.types.fine_tuning import FineTuningJob

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MODEL = "gpt-4o-mini-2024-07-18"
ENDED = ("succeeded", "failed", "cancelled")
ROWS = "".join(json.dumps(chat_row(number)) + "\n" for number in range(24)).encode()
PREFERENCES = "".join(json.dumps(preference_row(number)) + "\n" for number in range(16)).encode()
FAST = {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 100.0}
LONG = {"n_epochs": 6, "batch_size": 1, "learning_rate_multiplier": 1.0}


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[str]
    url: str
    client: OpenAI

    def job(self, training: bytes = ROWS, **more: Any) -> FineTuningJob:
        file = self.client.files.create(file=("train.jsonl", training), purpose="fine-tune")
        more.setdefault("hyperparameters", FAST)
        return self.client.fine_tuning.jobs.create(model="gpt-4o-mini", training_file=file.id, **more)

    def until(self, job_id: str, *statuses: str, seconds: float = 120) -> FineTuningJob:
        end = time.monotonic() + seconds
        while True:
            job = self.client.fine_tuning.jobs.retrieve(job_id)
            if job.status in statuses:
                return job
            assert job.status not in ENDED, job
            assert time.monotonic() < end, job
            time.sleep(0.1)

    def tuned(self, **more: Any) -> str:
        name = self.until(self.job(**more).id, "succeeded").fine_tuned_model
        assert name is not None
        return name

    def say(self, model: str, text: str = "What is a river?", **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": text}]
        asked: dict[str, Any] = {"temperature": 0.0, "max_tokens": 12, **more}
        return self.client.chat.completions.create(model=model, messages=messages, **asked)


@contextmanager
def serving(data_dir: Path, model: Path) -> Generator[Running]:
    command = [sys.executable, "-c", "from broker.cli import main; main()", "--json", "serve", "--port", "0"]
    own = {"BROKER_DATA_DIR": str(data_dir), "BROKER_DEVICE": "cpu", "BROKER_LEASE_S": "3", "OMP_NUM_THREADS": "1"}
    with (data_dir.parent / f"{data_dir.name}.log").open("a") as log:
        process = subprocess.Popen(
            [*command, "--map", f"{MODEL}={model}"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **own},
        )
    try:
        assert process.stdout is not None
        url = str(json.loads(process.stdout.readline())["base_url"])
        client = OpenAI(base_url=url, api_key="none needed", max_retries=0, timeout=60)
        yield Running(process, url, client)
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data_dir = tmp_path_factory.mktemp("serve") / "data"
    data_dir.mkdir()
    with serving(data_dir, model) as running:
        yield running


@pytest.fixture(scope="module")
def tuned(server: Running) -> str:
    return server.tuned(suffix="apples", seed=1, metadata={"by": "test"})


def test_a_job_trains_a_model_that_answers_differently(server: Running, tuned: str) -> None:
    assert tuned.startswith(f"ft:{MODEL}:broker:apples:")
    [job] = server.client.fine_tuning.jobs.list(metadata={"by": "test"}).data
    assert (job.status, job.fine_tuned_model, job.seed) == ("succeeded", tuned, 1)
    assert job.trained_tokens
    events = list(server.client.fine_tuning.jobs.list_events(job.id, limit=5))
    losses = {event.data["step"]: event.data["train_loss"] for event in events if event.type == "metrics"}  # type: ignore[index]
    assert sorted(losses) == list(range(1, 7)), "24 rows in steps of 8, twice"
    assert losses[6] < losses[1]
    checkpoints = server.client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert [checkpoint.step_number for checkpoint in checkpoints] == [6, 3]
    result = server.client.files.content(job.result_files[0]).text
    assert len(result.splitlines()) == 7
    texts = {name: server.say(name).choices[0].message.content for name in (MODEL, tuned)}
    assert texts[MODEL] != texts[tuned]
    between = server.say(checkpoints[1].fine_tuned_model_checkpoint).choices[0].message.content
    assert between != texts[MODEL]
    assert tuned in {found.id for found in server.client.models.list()}


def test_a_preference_job(server: Running) -> None:
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 1, "beta": 0.2}}}
    job = server.job(PREFERENCES, method=method, hyperparameters={})
    assert server.until(job.id, "succeeded").method.dpo is not None  # type: ignore[union-attr]


def test_a_stream_is_the_answer_in_pieces(server: Running, tuned: str) -> None:
    whole = server.say(tuned, logprobs=True, top_logprobs=2)
    chunks = list(server.say(tuned, stream=True, logprobs=True, top_logprobs=2, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert sum(bool(text) for text in texts) > 3, "it comes piece by piece"
    assert chunks[-1].usage == whole.usage
    told = [token.logprob for chunk in chunks if chunk.choices for token in _tokens(chunk.choices[0])]
    assert told == pytest.approx([token.logprob for token in _tokens(whole.choices[0])], abs=1e-3)
    assert all(len(token.top_logprobs) == 2 for token in _tokens(whole.choices[0]))
    wire = load_wire()
    if wire is not None:
        wire.check("POST", "/chat/completions", 200, whole.model_dump(mode="json", exclude_unset=True))
        for chunk in chunks:
            wire.check_as("CreateChatCompletionStreamResponse", chunk.model_dump(mode="json", exclude_unset=True))


def _tokens(choice: Any) -> Any:
    return choice.logprobs.content if choice.logprobs else ()


def test_seeds_choices_stops_and_limits(server: Running) -> None:
    warm: dict[str, Any] = {"temperature": 1.0, "n": 3, "max_tokens": 16}
    first, second = (server.say(MODEL, seed=5, **warm) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert texts == [choice.message.content for choice in second.choices], "the same seed, the same answers"
    assert len(set(texts)) == 3, "each choice draws for itself"
    assert first.usage.completion_tokens == sum(16 if c.finish_reason == "length" else 0 for c in first.choices)
    plain = server.say(MODEL).choices[0].message.content
    stop = plain[4:6]
    stopped = server.say(MODEL, stop=[stop]).choices[0]
    assert (stopped.message.content, stopped.finish_reason) == (plain[: plain.index(stop)], "stop")
    with pytest.raises(BadRequestError) as long:
        server.say(MODEL, "word " * 2000)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(NotFoundError):
        server.say(f"ft:{MODEL}:broker:apples:zzzzzzzz")


def test_many_chats_at_once_share_the_base(server: Running, tuned: str) -> None:
    names = [MODEL, tuned] * 12
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda name: server.say(name, max_tokens=24), names))
    assert {answer.model for answer in answers} == {MODEL, tuned}
    assert all(answer.usage.completion_tokens > 0 for answer in answers)
    assert len({answer.choices[0].message.content for answer in answers[::2]}) == 1
    text = httpx.get(server.url.removesuffix("/v1") + "/metrics").text
    assert "broker_chats_open 0.0" in text


def test_a_client_that_leaves_a_stream_leaves_no_work(server: Running) -> None:
    stream = server.say(MODEL, max_tokens=400, stream=True)
    next(iter(stream))
    stream.close()
    end = time.monotonic() + 20
    while "broker_chats_open 0.0" not in httpx.get(server.url.removesuffix("/v1") + "/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_batch_over_a_tuned_model(server: Running, tuned: str) -> None:
    rows = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": tuned, "messages": [{"role": "user", "content": f"Say {number}"}], "max_tokens": 8},
        }
        for number in range(40)
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file = server.client.files.create(file=("requests.jsonl", content), purpose="batch")
    batch = server.client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    end = time.monotonic() + 60
    while batch.status != "completed":
        assert time.monotonic() < end, batch
        time.sleep(0.1)
        batch = server.client.batches.retrieve(batch.id)
    assert batch.output_file_id is not None
    lines = server.client.files.content(batch.output_file_id).text.splitlines()
    assert {json.loads(line)["custom_id"] for line in lines} == {str(number) for number in range(40)}


def test_a_big_file_needs_no_memory(server: Running) -> None:
    size = 200 * 1024 * 1024
    server.client.files.create(file=("small", b"x"), purpose="user_data")

    def peak() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
        for _ in range(size // 2**20):
            yield b"0123456789abcdef" * 65536
        yield b"\r\n--x--\r\n"

    before = peak()
    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{server.url}/files", content=form(), headers=kind, timeout=120)
    assert answer.json()["bytes"] == size, answer.text
    got = 0
    with httpx.stream("GET", f"{server.url}/files/{answer.json()['id']}/content", timeout=120) as stream:
        for block in stream.iter_raw():
            got += len(block)
    assert got == size
    assert peak() - before < 50 * 1024 * 1024
    server.client.files.delete(answer.json()["id"])


def test_the_stock_script_runs_unchanged(server: Running) -> None:
    script = Path(__file__).parents[2] / "examples" / "02_openai_sdk_unchanged.py"
    done = subprocess.run(
        [sys.executable, str(script), server.url], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "The job has successfully completed" in done.stdout
    assert f"ft:{MODEL}:broker:casual:" in done.stdout


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_midway_goes_on(model: Path, tmp_path: Path, end: signal.Signals) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with serving(data_dir, model) as first:
        job = first.job(hyperparameters=LONG)
        first.until(job.id, "running")
        _until_steps(first, job.id, 20)
        first.process.send_signal(end)
        first.process.wait(60)
    with closing(open_store(f"sqlite:///{data_dir / 'broker.db'}")) as store:
        assert [made.state for made in store.jobs(kinds=[JobKind.TUNE])] == [State.RUNNING]
    with serving(data_dir, model) as second:
        done = second.until(job.id, "succeeded", seconds=200)
        assert second.say(str(done.fine_tuned_model)).choices[0].message.content
        assert [found.id for found in second.client.fine_tuning.jobs.list()] == [job.id]
    with closing(open_store(f"sqlite:///{data_dir / 'broker.db'}")) as store:
        [made] = store.jobs(kinds=[JobKind.TUNE])
        assert len(store.intents(made.id)) == 1, "it was handed over once"


def _until_steps(server: Running, job_id: str, steps: int) -> None:
    end = time.monotonic() + 100
    while True:
        events = server.client.fine_tuning.jobs.list_events(job_id, limit=1000).data
        if sum(event.type == "metrics" for event in events) >= steps:
            return
        assert time.monotonic() < end, events[:3]
        time.sleep(0.1)
