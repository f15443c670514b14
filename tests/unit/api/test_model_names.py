"""What a person types for a model to judge: read, or refused with the nearest name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from broker.api import Broker
from broker.api.request import ModelRequest
from broker.errors import BrokerError, UnknownNameError, UserError
from broker.settings import load_settings
from tests.fakes.tiny_model import build_tiny, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from broker.settings import Settings

pytestmark = pytest.mark.anyio
ROWS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"Question {i}?"}, {"role": "assistant", "content": "A."}]}
    for i in range(12)
]
FT = "ft:gpt-4o-mini-2024-07-18:my-org:suffix:abc123"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    accounts: dict[str, Any] = {
        "nebius": {"kind": "openai", "base_url": "https://api.example.com/v1"},
        "failing": {"kind": "fake", "options": {"fail": "bad_luck"}},
    }
    overrides = {"data_dir": tmp_path / "data", "cache_dir": tmp_path / "cache", "providers": accounts}
    return load_settings(overrides=overrides)


async def read(settings: Settings, text: str, **options: str | None) -> ModelRequest:
    async with Broker(settings, drive=False) as broker:
        return await broker.named(text, **options)


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        (f"openai:{FT}", "openai", FT),
        (f"  openai: {FT} ", "openai", FT),
        (FT, "openai", FT),
        (f"nebius:{FT}", "nebius", FT),
        ("openai:gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("http://127.0.0.1:8000/v1#Qwen/Qwen2.5-0.5B", "http://127.0.0.1:8000/v1", "Qwen/Qwen2.5-0.5B"),
        ("http://127.0.0.1:8000/v1/#a:b", "http://127.0.0.1:8000/v1", "a:b"),
        ("https://host.example/v1:model", "https://host.example/v1", "model"),
        ("http://host:8000#m", "http://host:8000", "m"),
        ("http://host:8000:m", "http://host:8000", "m"),
        ("http://host:m8000", "http://host", "m8000"),
        ("http://[::1]:8000/v1#m", "http://[::1]:8000/v1", "m"),
        ("openai@http://127.0.0.1:8100/v1:sandbox", "openai@http://127.0.0.1:8100/v1", "sandbox"),
        (f"openai@http://127.0.0.1:8100/v1:{FT}", "openai@http://127.0.0.1:8100/v1", FT),
        (f"nebius@https://other.example/v1#{FT}", "nebius@https://other.example/v1", FT),
    ],
)
async def test_accounts_and_addresses(settings: Settings, text: str, provider: str, model: str) -> None:
    assert await read(settings, text) == ModelRequest(provider=provider, model=model)


def test_no_key_goes_to_a_bare_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    settings = load_settings(overrides={"data_dir": tmp_path})
    assert settings.account("openai").api_key is not None
    account = settings.account("http://host:8000/v1")
    assert (account.kind, account.base_url, account.api_key) == ("openai", "http://host:8000/v1", None)


@pytest.mark.parametrize("text", ["sandbox", "local:sandbox"])
async def test_the_sandbox_in_the_usual_precision(settings: Settings, text: str) -> None:
    assert await read(settings, text) == ModelRequest(provider="local", model="sandbox", precision="bf16")
    assert (await read(settings, text, precision="int8")).precision == "int8"


async def test_folders(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_tiny(tmp_path / "my-model")
    monkeypatch.chdir(tmp_path)
    wanted = str((tmp_path / "my-model").resolve())
    for text in ("my-model", "local:my-model", f"local:{wanted}", "./my-model"):
        assert (await read(settings, text)).model == wanted
    assert (await read(settings, "local:org/name")).model == "org/name"


def write_adapter(folder: Path, base: str | None) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    return folder


async def test_an_adapter_says_its_base(settings: Settings, tmp_path: Path) -> None:
    from broker.sandbox import model_dir

    build_tiny(tmp_path / "base")
    mine = await read(settings, str(write_adapter(tmp_path / "mine", str(tmp_path / "base"))))
    assert mine.adapter == str((tmp_path / "mine").resolve())
    assert (mine.provider, mine.model, mine.label) == ("local", str((tmp_path / "base").resolve()), "mine")
    hub = await read(settings, f"local:{write_adapter(tmp_path / 'run' / 'adapter', 'org/base')}")
    assert (hub.model, hub.label) == ("org/base", "run/adapter")
    sandbox = model_dir(settings.cache_dir)
    sandbox.mkdir(parents=True)
    assert (await read(settings, str(write_adapter(tmp_path / "toy", str(sandbox))))).model == "sandbox"


async def test_an_adapter_whose_base_is_not_here(settings: Settings, tmp_path: Path) -> None:
    build_tiny(tmp_path / "base")
    for base in (None, "", "/gone/away/base"):
        folder = write_adapter(tmp_path / f"of-{len(str(base))}", base)
        with pytest.raises(UserError) as caught:
            await read(settings, str(folder))
        assert "--base" in caught.value.fix
        assert (await read(settings, str(folder), base=str(tmp_path / "base"))).model == str(
            (tmp_path / "base").resolve()
        )
        assert (await read(settings, str(folder), base="org/base")).model == "org/base"
    with pytest.raises(UserError, match="is not on this disk"):
        await read(settings, str(tmp_path / "of-0"), base="/not/here/either")


async def test_an_adapter_that_is_no_json(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        await read(settings, str(tmp_path / "bad"))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", UnknownNameError, "ACCOUNT:MODEL"),
        ("opnai:gpt-4o", UnknownNameError, "did you mean openai:gpt-4o?"),
        ("nebios:a:b", UnknownNameError, "did you mean nebius:a:b?"),
        ("sandbx", UnknownNameError, "did you mean sandbox?"),
        ("org/name", UnknownNameError, "local:org/name"),
        ("openai:", UserError, "openai:MODEL"),
        ("http://host:8000/v1", UserError, "http://host:8000/v1#MODEL"),
        ("http://host:8000/v1#", UserError, "http://host:8000/v1#MODEL"),
        ("openai@http://host/v1", UserError, "openai@http://host/v1#MODEL"),
        ("opnai@http://host/v1:m", UnknownNameError, "did you mean openai"),
        ("tune-zzzzzz", UnknownNameError, "broker jobs"),
        ("./nowhere", UnknownNameError, "a folder"),
        ("local:", UserError, "local:MODEL"),
    ],
)
async def test_what_nobody_knows(settings: Settings, text: str, kind: type[BrokerError], said: str) -> None:
    with pytest.raises(kind) as caught:
        await read(settings, text)
    assert said in caught.value.fix


async def test_jobs_of_any_kind(settings: Settings, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.jsonl", ROWS[:10])
    validation = write_rows(tmp_path / "validation.jsonl", ROWS[10:])
    async with Broker(settings) as broker:
        job = await broker.submit(provider="fake", train=train, validation=validation, metrics=["length"])
        wanted = ModelRequest(provider="fake", tune_job=job.id)
        assert await broker.named(job.id) == await broker.named(job.id[:8]) == wanted
        done = (await broker.wait(job))[0]
        assert done.model is not None
        assert await broker.named(done.model.name) == await broker.named(f"fake:{done.model.name}") == wanted
        evaluations = [one for one in await broker.jobs() if one.kind == "evaluate"]
        base = ModelRequest(provider="fake", model="fake-base")
        found = [await broker.named(one.id) for one in evaluations]
        assert sorted(found, key=str) == sorted([wanted, base], key=str)
        assert await broker.named("fake:fake-base") == base


async def test_a_job_that_has_no_model(settings: Settings, tmp_path: Path) -> None:
    async with Broker(settings) as broker:
        job = await broker.submit(provider="failing", train=write_rows(tmp_path / "train.jsonl", ROWS))
        await broker.wait(job)
        with pytest.raises(UserError, match="is failed: it has no model") as caught:
            await broker.named(job.id)
        assert f"broker resume {job.id}" in caught.value.fix
