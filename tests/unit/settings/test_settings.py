"""Flags over BROKER_* over the project's file over the user's over the defaults; every problem with its place."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from broker.errors import SpecError, UnknownNameError
from broker.settings import Account, Settings, load_settings, locate
from broker.settings.files import APP_NAME, FILE_NAME
from broker.settings.sources import key_variables


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project folder with an own home."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "project"
    (folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def user_file(project: Path) -> Path:
    return project.parent / "config" / APP_NAME / FILE_NAME


def problems(**arguments: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_settings(**arguments)
    return [str(problem) for problem in caught.value.problems]


def key_of(account: Account) -> str | None:
    return account.api_key.get_secret_value() if account.api_key else None


# --- order ------------------------------------------------------------------------------------------------------------


def test_each_source_gives_way_to_the_stronger(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().lease_s == 60
    write(user_file(project), "lease_s = 10")
    assert load_settings().lease_s == 10
    write(project / FILE_NAME, "lease_s = 20")
    assert load_settings().lease_s == 20
    monkeypatch.setenv("BROKER_LEASE_S", "30")
    assert load_settings().lease_s == 30
    assert load_settings(overrides={"lease_s": 40}).lease_s == 40


def test_a_flag_that_was_not_given_is_none_and_changes_nothing(project: Path) -> None:
    write(project / FILE_NAME, "[defaults]\nmodel = 'sandbox'")
    assert load_settings(overrides={"lease_s": None, "defaults": {"model": None}}).defaults.model == "sandbox"


def test_files_are_merged_key_by_key(project: Path) -> None:
    write(user_file(project), "[defaults]\nmodel = 'mine'\nencoder = 'e'\n[providers.nebius]\nkind = 'openai'")
    write(project / FILE_NAME, "[defaults]\nmodel = 'ours'\n[providers.nebius]\nbase_url = 'https://n.example/v1'")
    settings = load_settings()
    assert (settings.defaults.model, settings.defaults.encoder) == ("ours", "e")
    assert settings.account("nebius").base_url == "https://n.example/v1"
    assert settings.account("nebius").kind == "openai"


def test_the_project_file_is_found_upwards(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / FILE_NAME, "lease_s = 7")
    monkeypatch.chdir(project / "deep" / "er")
    assert load_settings().lease_s == 7


def test_a_named_file_stands_in_place_of_the_project_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / FILE_NAME, "lease_s = 7")
    other = write(project / "other.toml", "poll_s = 3")
    assert load_settings(config=other).lease_s == 60
    monkeypatch.setenv("BROKER_CONFIG", str(other))
    assert load_settings().poll_s == 3
    assert load_settings().lease_s == 60


def test_nested_variables_reach_sections(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_DEFAULTS__METRICS", "flesch, similarity")
    monkeypatch.setenv("BROKER_DEFAULTS__BUDGET_USD", "2.5")
    defaults = load_settings().defaults
    assert (defaults.metrics, defaults.budget_usd) == (("flesch", "similarity"), 2.5)


def test_paths_in_a_file_are_relative_to_that_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / FILE_NAME, "data_dir = 'd'\n[defaults]\ntrain = 'train.jsonl'\nvalidation = 'hf:name:test'")
    monkeypatch.chdir(project / "deep")
    settings = load_settings()
    assert settings.data_dir == project / "d"
    assert settings.defaults.train == str(project / "train.jsonl")
    assert settings.defaults.validation == "hf:name:test"


LAYERS = ("flag", "variable", "project", "user")


@pytest.mark.parametrize("given", [pick for n in range(5) for pick in itertools.combinations(LAYERS, n)], ids="+".join)
def test_locate_says_what_the_settings_say(
    given: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {"data_dir": "from-flag"} if "flag" in given else {}
    if "variable" in given:
        monkeypatch.setenv("BROKER_DATA_DIR", "~/from-variable")
        monkeypatch.setenv("BROKER_STORE_URL", "postgresql+psycopg://u:p@h/db")
    if "project" in given:
        write(project / FILE_NAME, "data_dir = 'from-project'\ncache_dir = '~/c'")
    if "user" in given:
        write(user_file(project), "data_dir = 'from-user'\nstore_url = 'sqlite:////tmp/x.db'")
    settings, places = load_settings(overrides=overrides), locate(overrides=overrides)
    assert places.data_dir == settings.data_dir
    assert places.cache_dir == settings.cache_dir
    assert places.store_url == settings.store_url


def test_defaults_lie_where_xdg_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    settings = load_settings()
    assert settings.data_dir == Path("/somewhere/data") / APP_NAME
    assert settings.cache_dir == Path.home() / ".cache" / APP_NAME
    assert settings.store_url == f"sqlite:////somewhere/data/{APP_NAME}/broker.db"


# --- accounts and keys ------------------------------------------------------------------------------------------------


def test_built_in_accounts_need_no_section(project: Path) -> None:
    settings = load_settings()
    assert settings.account_names() == ("local", "openai", "gemini", "fake")
    assert settings.account("local") == Account(kind="local", name="local")


def test_an_unknown_account_names_the_known_and_the_nearest(project: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider 'opanai'; known: .*openai") as caught:
        load_settings().account("opanai")
    assert caught.value.fix == "did you mean openai?"


def test_an_account_at_an_address_keeps_the_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_OPENAI_API_KEY", "sk-mine")
    settings = load_settings()
    found = settings.account("openai@http://127.0.0.1:8100/v1")
    assert (found.kind, found.base_url) == ("openai", "http://127.0.0.1:8100/v1")
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "sk-mine"
    assert found.name not in settings.account_names()
    settings.remember(found.name)
    assert found.name in settings.account_names()
    with pytest.raises(UnknownNameError):
        settings.account("opnai@http://127.0.0.1:8100/v1")


def test_openai_variables_are_the_weakest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://theirs.example/v1")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    account = load_settings().account("openai")
    assert (key_of(account), account.base_url) == ("theirs", "https://theirs.example/v1")
    assert (account.organization, account.project) == ("org-1", "proj-1")
    write(project / FILE_NAME, "[providers.openai]\nbase_url = 'https://file.example/v1'")
    assert load_settings().account("openai").base_url == "https://file.example/v1"
    monkeypatch.setenv("BROKER_OPENAI_API_KEY", "ours")
    monkeypatch.setenv("BROKER_OPENAI_BASE_URL", "https://ours.example/v1")
    monkeypatch.setenv("BROKER_OPENAI_ORG_ID", "org-2")
    monkeypatch.setenv("BROKER_OPENAI_PROJECT", "proj-2")
    account = load_settings().account("openai")
    assert (key_of(account), account.base_url) == ("ours", "https://ours.example/v1")
    assert (account.organization, account.project) == ("org-2", "proj-2")


def test_gemini_falls_back_twice(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "google")
    assert key_of(load_settings().account("gemini")) == "google"
    monkeypatch.setenv("GEMINI_API_KEY", "gemini")
    assert key_of(load_settings().account("gemini")) == "gemini"
    monkeypatch.setenv("BROKER_GEMINI_API_KEY", "ours")
    assert key_of(load_settings().account("gemini")) == "ours"
    assert key_variables("gemini", "gemini") == ("BROKER_GEMINI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")


def test_openais_key_is_never_sent_to_another_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example/v1")
    text = "[providers.nebius]\nkind = 'openai'\nbase_url = 'https://n.example/v1'\n[providers.second]\nkind = 'openai'"
    write(project / FILE_NAME, text)
    settings = load_settings()
    assert key_of(settings.account("nebius")) is None
    # Another account at OpenAI itself may share the key, but not a base URL that was meant for the first.
    assert key_of(settings.account("second")) == "sk-canary"
    assert settings.account("second").base_url is None


def test_a_named_account_has_variables_of_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / FILE_NAME, "[providers.my-azure]\nkind = 'openai'\nbase_url = 'https://a.example/v1'")
    monkeypatch.setenv("BROKER_MY_AZURE_API_KEY", "k")
    assert key_of(load_settings().account("my-azure")) == "k"


def test_a_file_may_name_the_variable_of_a_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the wrong one")
    write(project / FILE_NAME, "[providers.openai]\napi_key_env = 'TEAM_KEY'")
    assert key_of(load_settings().account("openai")) is None
    monkeypatch.setenv("TEAM_KEY", "the right one")
    assert key_of(load_settings().account("openai")) == "the right one"


def test_the_hub_token_has_its_usual_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf-theirs")
    token = load_settings().hf_token
    assert token is not None
    assert token.get_secret_value() == "hf-theirs"
    monkeypatch.setenv("BROKER_HF_TOKEN", "hf-ours")
    token = load_settings().hf_token
    assert token is not None
    assert token.get_secret_value() == "hf-ours"


def test_the_default_model_belongs_to_its_provider(project: Path) -> None:
    text = "[defaults]\nprovider = 'local'\nmodel = 'sandbox'\n[providers.openai]\nmodel = 'gpt-4.1-mini'"
    write(project / FILE_NAME, text)
    settings = load_settings()
    assert settings.default_model("local") == "sandbox"
    assert settings.default_model("openai") == "gpt-4.1-mini"
    assert settings.default_model("gemini") is None


def test_secrets_are_in_no_text_of_the_settings(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-1")
    monkeypatch.setenv("HF_TOKEN", "hf-canary-2")
    monkeypatch.setenv("BROKER_STORE_URL", "postgresql+psycopg://u:canary-3@h/db")
    settings = load_settings()
    shown = f"{settings!r} {settings} {settings.account('openai')!r} {settings.model_dump(exclude={'store_url'})}"
    assert "canary" not in shown


# --- problems ---------------------------------------------------------------------------------------------------------


def test_all_problems_come_at_once_with_their_places(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "lease_s = 'long'",
        "data_dri = 'x'",
        "[defaults]",
        "budget_usd = -1",
        "modle = 'm'",
        "[providers.nebius]",
        "base_url = 'ftp://x'",
        "[providers.other]",
        "kind = 'opnai'",
    ]
    file = write(project / FILE_NAME, "\n".join(lines))
    monkeypatch.setenv("BROKER_COLOR", "pink")
    found = problems(overrides={"poll_s": 0})
    starts = {line.split(": ")[0] for line in found}
    assert starts == {"--poll-s", "BROKER_COLOR", *(f"{file}:{number}" for number in (1, 2, 4, 5, 6, 7, 9))}
    text = "\n".join(found)
    for hint in ("did you mean data_dir?", "did you mean model?", "did you mean 'openai'?", "has no kind", "'pink'"):
        assert hint in text


def test_a_problem_of_the_user_file_names_that_file(project: Path) -> None:
    file = write(user_file(project), "\n\nlease_s = 0")
    write(project / FILE_NAME, "color = 'never'")
    (found,) = problems()
    assert found.startswith(f"{file}:3: lease_s = 0:")


def test_a_named_file_that_is_missing_is_a_problem(project: Path) -> None:
    (found,) = problems(config=project / "none.toml")
    assert "there is no such settings file" in found


@pytest.mark.parametrize("text", ["lease_s = ", "[defaults\n", "a = 1\na = 2"])
def test_bad_toml_says_where(project: Path, text: str) -> None:
    file = write(project / FILE_NAME, text)
    (found,) = problems()
    assert str(file) in found
    with pytest.raises(SpecError):
        locate()


def test_a_file_that_is_not_text_is_a_problem(project: Path) -> None:
    (project / FILE_NAME).write_bytes(b"\xff\xfe")
    (found,) = problems()
    assert "cannot be read" in found


def test_a_secret_is_in_no_message(project: Path) -> None:
    write(project / FILE_NAME, "providers.openai = 'sk-canary'\nhf_token = ['canary']")
    assert "canary" not in "\n".join(problems())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_file_planted_in_a_shared_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    (shared / "mine").mkdir(parents=True)
    shared.chmod(0o1777)
    planted = write(shared / FILE_NAME, "[providers.openai]\nbase_url = 'http://evil.example'")
    os.chown(planted, 4242, 4242)
    monkeypatch.chdir(shared / "mine")
    (found,) = problems()
    assert "belongs to another user" in found
    assert load_settings(config=planted).account("openai").base_url == "http://evil.example"


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_a_key_that_others_can_read_is_a_warning(project: Path) -> None:
    file = write(project / FILE_NAME, "lease_s = 9\n[providers.openai]\napi_key = 'sk-canary'", mode=0o644)
    (warning,) = load_settings().warnings
    assert (warning.where, warning.severity) == (f"{file}:3", "warning")
    assert f"chmod 600 {file}" in warning.fix
    assert "canary" not in str(warning)
    file.chmod(0o600)
    assert load_settings().warnings == ()


def test_a_file_without_keys_may_be_read_by_all(project: Path) -> None:
    write(project / FILE_NAME, "lease_s = 9", mode=0o644)
    assert load_settings().warnings == ()


def test_a_misspelt_variable_is_a_warning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_DATADIR", "/x")
    monkeypatch.setenv("BROKER_URL", "amqp://belongs-to-somebody-else")
    (warning,) = load_settings().warnings
    assert (warning.where, warning.fix) == ("BROKER_DATADIR", "rename it to BROKER_DATA_DIR")


def test_settings_can_be_made_without_any_file(tmp_path: Path, project: Path) -> None:
    settings = Settings(data_dir=tmp_path, lease_s=5)
    assert settings.store_url == f"sqlite:///{tmp_path}/broker.db"
    assert settings.catalog_path is None
    (tmp_path / "catalog.toml").touch()
    assert settings.catalog_path == tmp_path / "catalog.toml"
