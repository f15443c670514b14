"""Bad input: a clear error with its place and its fix, the right exit code, nothing half-done left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TURNLESS = '{"messages": [{"role": "user", "content": "hi"}]}'


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    made = Terminal(tmp_path, capsys)
    monkeypatch.chdir(tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


# --- rows -----------------------------------------------------------------------------------------------------------


def test_a_missing_file(terminal: Terminal) -> None:
    done = terminal.submit("--train", "trian.jsonl", "--validation", "validation.jsonl")
    assert done.code == 2
    assert done.err == "error: trian.jsonl: there is no such file\n  fix: did you mean train.jsonl?\n"
    terminal.assert_nothing_left()


def test_an_empty_file(terminal: Terminal) -> None:
    terminal.write("empty.jsonl", "")
    done = terminal.submit("--train", "empty.jsonl", "--validation", "validation.jsonl")
    assert done.code == 2
    assert "empty.jsonl: the file is empty (0 bytes)" in done.err
    assert "fix: put one row on each line" in done.err
    terminal.assert_nothing_left()


def test_row_17_is_malformed(terminal: Terminal) -> None:
    rows = terminal.rows()
    rows[16] = rows[16][:60]
    terminal.write("torn.jsonl", "\n".join(rows))
    done = terminal.submit("--train", "torn.jsonl", "--validation", "validation.jsonl")
    assert done.code == 2
    assert done.err.startswith("error: torn.jsonl:17: not valid JSON")
    assert "fix: " in done.err
    terminal.assert_nothing_left()


def test_no_assistant_turn(terminal: Terminal) -> None:
    terminal.write("asking.jsonl", "\n".join([*terminal.rows()[:3], TURNLESS]))
    done = terminal.submit("--train", "asking.jsonl", "--validation", "validation.jsonl")
    assert done.code == 2
    assert "asking.jsonl:4: messages has no assistant turn (roles: user)" in done.err
    assert "fix: add the answer" in done.err
    terminal.assert_nothing_left()


def test_all_bad_rows_are_told_at_once(terminal: Terminal) -> None:
    terminal.write("bad.jsonl", "\n".join([*terminal.rows()[:3], "{", TURNLESS, "[]"]))
    done = terminal.submit("--train", "bad.jsonl", "--validation", "validation.jsonl", "--json")
    assert done.code == 2
    assert [problem["where"] for problem in done.error["problems"]] == ["bad.jsonl:4", "bad.jsonl:5", "bad.jsonl:6"]
    assert all(problem["fix"] for problem in done.error["problems"])
    terminal.assert_nothing_left()


def test_bad_validation_rows_are_found_before_anything_is_sent(terminal: Terminal) -> None:
    # A question alone will do to judge on; a turn without content will not.
    terminal.write("bad.jsonl", '{"messages": [{"role": "user"}]}')
    done = terminal.submit("--validation", "bad.jsonl")
    assert done.code == 2
    assert "bad.jsonl:1" in done.err
    terminal.assert_nothing_left()


def test_validation_rows_in_the_training_data(terminal: Terminal) -> None:
    terminal.write("leak.jsonl", "\n".join(terminal.rows()[4:6]))
    done = terminal.submit("--validation", "leak.jsonl")
    assert done.code == 2
    assert "2 validation prompt(s) are in the training data" in done.err
    assert "leak.jsonl:1 = train.jsonl:5" in done.err
    assert "leak.jsonl:2 = train.jsonl:6" in done.err
    assert "Jaccard similarity of character trigrams at least 0.9" in done.err
    assert "--allow-overlap" in done.err
    terminal.assert_nothing_left()
    allowed = terminal.submit("--validation", "leak.jsonl", "--allow-overlap")
    assert allowed.code == 0
    assert "warning: overlap of train.jsonl with leak.jsonl" in allowed.err
    table = " ".join(allowed.out.split())
    (tuned,) = [job["id"] for job in terminal.jobs() if job["kind"] == "tune"]
    assert f"2 of 2 validation prompts are in the training data train.jsonl of {tuned}" in table
    assert "had seen validation prompts before: fake-base tuned (2 of 2); not known of fake-base" in table


def test_a_split_that_leaves_one_side_empty(terminal: Terminal) -> None:
    terminal.write("one.jsonl", terminal.rows()[0])
    done = terminal.submit("--train", "one.jsonl", "--split", "0.5")
    assert done.code == 2
    assert "one side would be empty" in done.err
    terminal.assert_nothing_left()


# --- names ----------------------------------------------------------------------------------------------------------


def test_an_unknown_provider_names_the_known_and_the_nearest(terminal: Terminal) -> None:
    done = terminal.submit(provider="opanai")
    assert done.code == 2
    assert "unknown provider 'opanai'; known: " in done.err
    assert all(name in done.err for name in ("fake", "local", "openai", "paid"))
    assert "did you mean openai?" in done.err
    terminal.assert_nothing_left()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--metric", "flech"], "no metric is called 'flech'"),
        (["--method", "sfd"], "'sfd' is no method of tuning"),
        (["--split", "2", "--validation", "validation.jsonl"], "2.0 is no share"),
        (["--set", "epochs"], "'epochs' is not NAME=VALUE"),
        (["--set", "epoch=3"], "has no parameter 'epoch'"),
        (["--epochs", "0"], "--epochs: 0 is out of range"),
    ],
)
def test_words_that_nobody_knows(terminal: Terminal, flags: list[str], words: str) -> None:
    done = terminal.submit(*flags)
    assert done.code == 2
    assert words in done.err
    assert "fix: " in done.err
    terminal.assert_nothing_left()


def test_all_bad_parameters_are_told_at_once_in_flags_that_can_be_typed(terminal: Terminal) -> None:
    done = terminal.submit("--epochs", "999", "--lr", "fast", "--set", "depth=3", "--json")
    assert done.code == 2
    assert [problem["where"] for problem in done.error["problems"]] == ["--epochs", "--lr", "--set depth"]
    terminal.assert_nothing_left()


def test_missing_flags_are_named_together(terminal: Terminal) -> None:
    done = terminal.here("submit")
    assert done.code == 2
    assert "missing: --provider, --train, --validation (or --split 0.1, or --no-evaluate)" in done.err
    assert "[defaults] of broker.toml" in done.err


# --- keys, packages, models, machines -------------------------------------------------------------------------------


def test_a_missing_key(terminal: Terminal) -> None:
    done = terminal.submit(provider="openai")
    assert done.code == 2
    assert "OPENAI_API_KEY" in done.err
    assert "none is set" in done.err
    terminal.assert_nothing_left()


@pytest.mark.parametrize(
    ("command", "hidden", "extra"),
    [
        ("submit --provider local --model sandbox", "torch,transformers,peft", "local"),
        ("submit --provider local --model sandbox --precision int8", "bitsandbytes", "local"),
        ("chat local:sandbox -m hello", "torch", "local"),
        ("serve --port 0", "starlette", "server"),
        ("check hf:some/rows", "datasets", "hub"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_its_pip_command(
    terminal: Terminal, command: str, hidden: str, extra: str
) -> None:
    data = ["--train", "train.jsonl", "--validation", "validation.jsonl"] if "submit" in command else []
    done = terminal.process(*command.split(), *data, hidden=hidden)
    assert done.code == 2
    assert hidden.split(",")[0] in done.err
    assert f"pip install 'finetune-broker[{extra}]'" in done.err
    assert "Traceback" not in done.err
    terminal.assert_nothing_left()


def test_an_account_whose_sdk_is_missing(terminal: Terminal) -> None:
    data = ["--train", "train.jsonl", "--validation", "validation.jsonl"]
    done = terminal.process("submit", "--provider", "openai", *data, hidden="openai", env={"OPENAI_API_KEY": "sk-none"})
    assert done.code == 2
    assert "openai" in done.err
    assert "pip install" in done.err
    assert "Traceback" not in done.err
    terminal.assert_nothing_left()


def test_doctor_names_what_is_missing(terminal: Terminal) -> None:
    done = terminal.process("doctor", "--json", hidden="torch,psycopg")
    found = {finding["name"]: finding for finding in done.data}
    assert found["extra local"]["fix"] == "pip install 'finetune-broker[local]'"
    assert found["extra postgres"]["fix"] == "pip install 'finetune-broker[postgres]'"
    assert found["account openai"]["fix"] == "set OPENAI_API_KEY"
    assert done.code == 0


def test_a_model_folder_without_a_tokenizer(terminal: Terminal) -> None:
    terminal.write("model/config.json", '{"model_type": "llama"}')
    header = json.dumps(
        {"model.layers.0.self_attn.q_proj.weight": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
    )
    weights = len(header).to_bytes(8, "little") + header.encode()
    (terminal.folder / "model" / "model.safetensors").write_bytes(weights)
    done = terminal.submit("--model", "model", provider="local")
    assert done.code == 2
    assert "the model folder has no tokenizer" in done.err
    assert "fix: copy tokenizer.json" in done.err
    terminal.assert_nothing_left()


def test_a_model_that_is_nowhere(terminal: Terminal) -> None:
    done = terminal.submit("--model", "modle", provider="local")
    assert done.code == 2
    assert "there is no folder and no known model 'modle'" in done.err
    terminal.assert_nothing_left()


def test_a_precision_that_nobody_offers(terminal: Terminal) -> None:
    done = terminal.submit("--model", "sandbox", "--precision", "int3", provider="local")
    assert done.code == 2
    assert "--precision: 'int3' is not offered" in done.err
    assert "bf16, fp32, int8, nf4" in done.err
    terminal.assert_nothing_left()


# --- settings and recipes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('data_dri = "x"', ["broker.toml:1", "data_dri", "did you mean data_dir?"]),
        ('[defaults]\nmodle = "x"', ["broker.toml:2", "did you mean model?"]),
        ('[providers.mine]\nkind = "opanai"', ["broker.toml:2", "unknown provider kind 'opanai'", "'openai'"]),
        ("lease_s = 60\n= 3", ["broker.toml:2", "not valid TOML"]),
        ('lease_s = "long"', ["broker.toml:1", "lease_s"]),
    ],
)
def test_faults_of_the_settings_file(terminal: Terminal, text: str, words: list[str]) -> None:
    terminal.write("broker.toml", text)
    done = terminal.submit()
    assert done.code == 2
    assert all(word in done.err for word in words)
    assert "Traceback" not in done.err
    assert not terminal.data_dir.exists()


def test_a_settings_file_that_is_not_there(terminal: Terminal) -> None:
    done = terminal.here("--config", "nothing.toml", "jobs")
    assert done.code == 2
    assert "nothing.toml: there is no such settings file" in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('trian = "train.jsonl"\n[[jobs]]\nprovider = "fake"', ["recipe.toml", "trian"]),
        ('[[jobs]]\nprovider = "fake"', ["jobs[1]", "no training rows"]),
        ('train = "train.jsonl"\n[[jobs]]\nmodel = "m"', ["recipe.toml", "provider"]),
        ('train = "train.jsonl"\npolicy = "terse"\n[[jobs]]\nprovider = "fake"', ["no policy is called 'terse'"]),
        ("[[jobs", ["recipe.toml", "is not TOML"]),
        ('name = "empty"', ["asks for nothing"]),
        ('train = "no.jsonl"\n[[jobs]]\nprovider = "fake"', ["no.jsonl: there is no such file"]),
    ],
)
def test_faults_of_a_recipe(terminal: Terminal, text: str, words: list[str]) -> None:
    terminal.write("recipe.toml", text)
    done = terminal.here("run", "recipe.toml")
    assert done.code == 2
    assert all(word in done.err for word in words)
    assert "fix: " in done.err
    terminal.assert_nothing_left()


def test_a_recipe_that_is_not_there(terminal: Terminal) -> None:
    done = terminal.here("run", "no.toml")
    assert done.code == 2
    assert "no.toml: cannot be read" in done.err


# --- money ----------------------------------------------------------------------------------------------------------


def test_a_paid_job_needs_a_yes_where_nobody_can_be_asked(terminal: Terminal) -> None:
    done = terminal.process(
        "submit", "--provider", "paid", "--train", "train.jsonl", "--validation", "validation.jsonl"
    )
    assert done.code == 2
    assert "this costs up to $2.00 and nobody can be asked here" in done.err
    assert "add --yes" in done.err
    terminal.assert_nothing_left()
    assert terminal.submit("--yes", provider="paid").code == 0


def test_more_than_the_budget(terminal: Terminal) -> None:
    done = terminal.submit("--yes", "--budget", "1.50", "--experiment", "tone", provider="paid")
    assert done.code == 5
    assert "2.00 USD would be reserved or spent, the budget is 1.50 USD" in done.err
    assert "raise it with --budget" in done.err
    terminal.assert_nothing_left()
    assert terminal.submit("--yes", "--budget", "2", "--experiment", "tone", provider="paid").code == 0


# --- the disk and the store -----------------------------------------------------------------------------------------


def limited(size: int) -> Callable[[], None]:
    """Let no file of a process grow beyond a size, bytes."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("size", [0, 60_000, 150_000])
def test_a_file_that_cannot_grow(terminal: Terminal, size: int) -> None:
    job = ["submit", "--provider", "fake", "--train", "train.jsonl", "--validation", "validation.jsonl"]
    done = terminal.process(*job, preexec_fn=limited(size))
    assert done.code == 6
    assert "the disk failed or a limit on file size was reached" in done.err
    assert "fix: free some space" in done.err
    assert "Traceback" not in done.err
    again = terminal.process(*job)
    assert again.code == 0, "with room again the same command works"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(terminal: Terminal, small_disk: Path) -> None:
    job = ["submit", "--provider", "fake", "--train", "train.jsonl", "--validation", "validation.jsonl"]
    env = {"BROKER_DATA_DIR": str(small_disk / "data")}
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(240_000))
    done = terminal.process(*job, env=env)
    assert done.code == 6
    assert "fix: free some space" in done.err
    assert "Traceback" not in done.err
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert terminal.process(*job, env=env).code == 0


def test_a_result_that_cannot_be_written(terminal: Terminal) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            terminal.command("jobs", "--json"),
            cwd=terminal.folder,
            env=terminal.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 6
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_cannot_be_made(terminal: Terminal) -> None:
    done = terminal.process(
        "--data-dir", "/proc/nobody", "submit", "--provider", "fake", "--train", "train.jsonl", "--split", "0.2"
    )
    assert done.code == 6
    assert "/proc/nobody" in done.err
    assert "fix: " in done.err
    assert "Traceback" not in done.err


def test_a_second_broker_on_the_same_store(terminal: Terminal) -> None:
    job = ["submit", "--provider", "steady", "--train", "train.jsonl", "--validation", "validation.jsonl", "--again"]
    both = [terminal.start(*job, "--experiment", name) for name in ("one", "two")]
    ended = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert {job["state"] for job in terminal.jobs()} == {"succeeded"}
    ledger = (terminal.data_dir / "steady" / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    created = [row["key"] for row in map(json.loads, ledger) if row["call"] == "create"]
    assert len(created) == len(set(created)) == 2
