"""What the local provider says of a job before anything starts: every problem at once, each with a fix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from broker.catalog import Catalog
from broker.jobs.spec import DatasetRef, Method, ModelRef, RowFormat, TuneSpec
from broker.providers.contract import ProviderContext
from broker.providers.local import LocalProvider, create
from broker.settings import Account

if TYPE_CHECKING:
    from broker.errors import Problem

GATED = "meta-llama/Llama-3.2-1B-Instruct"


def provider(tmp_path: Path, token: str | None = None) -> LocalProvider:
    parts: Any = {"artifacts": None, "uploads": None, "workers": None, "tasks": None}
    return create(
        ProviderContext(
            name="local",
            account=Account(kind="local"),
            catalog=Catalog.load(),
            data_dir=tmp_path,
            cache_dir=tmp_path / "cache",
            hf_token=SecretStr(token) if token else None,
            **parts,
        )
    )


def spec(model: Path | str, *, rows: int = 100, method: Method = Method.SFT, **parameters: Any) -> TuneSpec:
    data = DatasetRef(
        sha256="0" * 64, name="t.jsonl", format=RowFormat.CHAT, rows=rows, bytes=1, tokens=1, longest_tokens=1
    )
    return TuneSpec(provider="local", model=str(model), train=data, method=method, parameters=parameters)


def by_place(problems: list[Problem]) -> dict[str, str]:
    return {problem.where: f"{problem.what} | {problem.fix}" for problem in problems}


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "no-hub"))


def test_the_defaults_are_table_3(tmp_path: Path) -> None:
    values = {parameter.name: parameter.default for parameter in provider(tmp_path).capabilities.parameters}
    assert values["precision"] == "bf16" and values["rank"] == 64 and values["alpha"] is None
    assert values["dropout"] == 0.2 and values["target_modules"] == ("q_proj", "k_proj", "v_proj")
    assert (values["epochs"], values["batch_size"], values["grad_accum"], values["lr"]) == (5, 16, 2, 2e-4)
    assert (values["warmup"], values["div_factor"], values["final_div_factor"]) == (0.3, 25.0, 1e3)
    assert values["adapter_dtype"] == "fp32"
    assert provider(tmp_path).capabilities.default_model == GATED


def test_a_good_job_has_no_problems(tiny: Path, tmp_path: Path) -> None:
    assert provider(tmp_path).check(spec(tiny)) == []


def test_all_problems_come_at_once(tiny: Path, tmp_path: Path) -> None:
    wrong = spec(tiny, precision="int7", rank=0, epoch=3, lr="much", target_modules=("c_attn",))
    found = by_place(provider(tmp_path).check(wrong))
    assert "int8" in found["--precision"]
    assert found["--rank"].endswith(">= 1 and <= 1024")
    assert "did you mean --epochs?" in found["--epoch"]
    assert "--lr" in found
    assert "q_proj" in found["--target-modules"] and "all-linear" in found["--target-modules"]


def test_dpo_needs_preference_rows(tiny: Path, tmp_path: Path) -> None:
    found = by_place(provider(tmp_path).check(spec(tiny, method=Method.DPO)))
    assert "dpo needs preference rows; t.jsonl has chat rows" in found["--train"]


def test_very_few_steps_are_a_warning(tiny: Path, tmp_path: Path) -> None:
    (problem,) = provider(tmp_path).check(spec(tiny, rows=10, epochs=1))
    assert problem.severity == "warning" and "only 1 step(s)" in problem.what


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (["tokenizer.json"], "no tokenizer"),
        (["chat_template.jinja"], "no chat template"),
        (["config.json"], "no config.json"),
        (["model.safetensors"], "no weights"),
    ],
)
def test_a_folder_that_lacks_something(copy: Path, tmp_path: Path, gone: list[str], words: str) -> None:
    for name in gone:
        (copy / name).unlink()
    (problem,) = provider(tmp_path).check(spec(copy))
    assert words in problem.what and problem.where == str(copy) and problem.fix


def test_pickled_weights_are_never_loaded(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    (problem,) = provider(tmp_path).check(spec(copy))
    assert "pickle" in problem.what


def test_an_adapter_is_no_base(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    (problem,) = provider(tmp_path).check(spec(folder))
    assert "this is an adapter" in problem.what and "org/base" in problem.fix


def test_a_gated_model_without_a_token_names_an_open_one(tmp_path: Path) -> None:
    (problem,) = provider(tmp_path).check(spec(GATED))
    assert "gated" in problem.what and "HF_TOKEN" in problem.fix
    assert f"https://huggingface.co/{GATED}" in problem.fix and "--model Qwen/" in problem.fix
    assert provider(tmp_path, token="hf_x").check(spec(GATED)) == []
    assert provider(tmp_path).check_model(ModelRef(provider="local", name=GATED)) == [problem]


def test_a_misspelt_model_gets_the_nearest(tmp_path: Path) -> None:
    (problem,) = provider(tmp_path).check(spec("sandbx"))
    assert "did you mean 'sandbox'?" in problem.fix


def test_the_sandbox_may_be_missing_it_is_built(tmp_path: Path) -> None:
    (problem,) = provider(tmp_path).check(spec("sandbox"))
    assert problem.severity == "warning" and "broker models build sandbox" in problem.fix


def test_a_machine_without_bitsandbytes_lacks_int8(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "bitsandbytes")
    found = by_place(provider(tmp_path).check(spec(tiny, precision="int8")))
    assert "pip install 'finetune-broker[local]'" in found["--precision"]


def test_without_torch_the_fix_is_the_pip_command(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "torch")
    found = by_place(provider(tmp_path).check(spec(tiny)))
    assert found["--provider local"].endswith("pip install 'finetune-broker[local]'")


def test_a_missing_adapter_is_named(tiny: Path, tmp_path: Path) -> None:
    model = ModelRef(provider="local", name=str(tiny), adapter=str(tmp_path / "nowhere"))
    (problem,) = provider(tmp_path).check_model(model)
    assert problem.where.endswith("nowhere")


def test_it_costs_nothing(tiny: Path, tmp_path: Path) -> None:
    assert provider(tmp_path).estimate(spec(tiny)).high_usd == 0.0


def _without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else real(name, *rest))


def test_the_writer_cannot_be_tuned(tmp_path: Path) -> None:
    (problem,) = provider(tmp_path).check(spec("sandbox-writer"))
    assert "nothing to tune" in problem.what
    assert "--model sandbox" in problem.fix
