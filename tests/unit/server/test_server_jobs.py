"""Fine-tuning jobs over the fake provider: their whole life as a client sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.broker_server import CHAT_ROW, MODEL, PREFERENCE_ROW

if TYPE_CHECKING:
    from tests.fakes.broker_server import Served
    from tests.unit.server.conftest import ServeWith

GOOD = {"model": MODEL, "training_file": "FILE"}
SLOW = {"steps": 10_000}


def test_a_job_succeeds_and_its_model_answers(served: Served) -> None:
    job = served.done_job(suffix="My Bot!", metadata={"team": "a"}, seed=42)
    assert job["status"] == "succeeded"
    assert job["model"] == MODEL
    assert job["fine_tuned_model"] == f"ft:{MODEL}:broker:my-bot:{job['id'][-8:]}"
    assert (job["seed"], job["metadata"], job["error"]) == (42, {"team": "a"}, None)
    assert job["created_at"] <= job["finished_at"]
    assert all(value != "auto" for value in job["hyperparameters"].values())
    result = served.client.get(f"/files/{job['result_files'][0]}/content").text
    assert result.splitlines()[0] == "step,train_loss,valid_loss"
    assert len(result.splitlines()) == 4
    question = [{"role": "user", "content": "hi"}]
    answers = {
        model: served.client.post("/chat/completions", json={"model": model, "messages": question}).json()
        for model in (MODEL, job["fine_tuned_model"])
    }
    texts = {answer["choices"][0]["message"]["content"] for answer in answers.values()}
    assert len(texts) == 2, "the tuned model answers differently from its base"
    assert {answer["model"] for answer in answers.values()} == set(answers)


def test_events_come_newest_first_in_pages_that_end(served: Served) -> None:
    job = served.done_job()
    path = f"/fine_tuning/jobs/{job['id']}/events"
    whole = served.get(f"{path}?limit=100")["data"]
    messages = [event["message"] for event in whole]
    assert messages[0] == "The job has successfully completed"
    assert messages[-1] == f"Created fine-tuning job: {job['id']}"
    losses = [event["data"] for event in whole if event["type"] == "metrics"]
    assert [loss["step"] for loss in losses] == [3, 2, 1]
    assert all(set(loss) == {"step", "total_steps", "train_loss"} for loss in losses)
    paged: list[dict[str, Any]] = []
    more = True
    while more:
        after = f"&after={paged[-1]['id']}" if paged else ""
        page = served.get(f"{path}?limit=3{after}")
        paged += page["data"]
        more = page["has_more"]
    assert paged == whole


def test_jobs_are_listed_newest_first_and_by_metadata(served: Served) -> None:
    first = served.new_job(metadata={"broker_intent": "bi-1", "run": "x"})
    second = served.new_job(metadata={"broker_intent": "bi-2", "run": "x"})
    found = served.get("/fine_tuning/jobs?metadata[broker_intent]=bi-1")["data"]
    assert [job["id"] for job in found] == [first["id"]]
    both = served.get("/fine_tuning/jobs?metadata[run]=x&metadata%5Bbroker_intent%5D=bi-2")["data"]
    assert [job["id"] for job in both] == [second["id"]]
    run = served.get("/fine_tuning/jobs?metadata[run]=x&limit=1")
    assert ([job["id"] for job in run["data"]], run["has_more"]) == ([second["id"]], True)
    rest = served.get(f"/fine_tuning/jobs?metadata[run]=x&limit=1&after={second['id']}")
    assert ([job["id"] for job in rest["data"]], rest["has_more"]) == ([first["id"]], False)
    assert served.get("/fine_tuning/jobs?metadata[run]=nobody")["data"] == []


def test_dpo_and_its_hyperparameters(served: Served) -> None:
    training_file = served.upload(PREFERENCE_ROW * 10)
    hyperparameters = {"beta": 0.3, "n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 0.5}
    method = {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    job = served.done_job(training_file=training_file, method=method)
    assert job["status"] == "succeeded"
    shown = job["method"]["dpo"]["hyperparameters"]
    assert (shown["beta"], shown["n_epochs"], shown["learning_rate_multiplier"]) == (0.3, 2, 0.5)
    assert isinstance(shown["batch_size"], int)


def test_legacy_hyperparameters_and_integrations_come_back(served: Served) -> None:
    wandb = {"type": "wandb", "wandb": {"project": "p", "name": "n", "entity": None, "tags": ["t"]}}
    job = served.new_job(hyperparameters={"n_epochs": 2}, integrations=[wandb], validation_file=served.upload())
    assert job["hyperparameters"]["n_epochs"] == 2
    assert job["integrations"] == [wandb]
    assert job["method"]["supervised"]["hyperparameters"]["n_epochs"] == 2


def test_bad_rows_fail_the_job_with_the_line(served: Served) -> None:
    bad = served.upload(CHAT_ROW + b'{"messages": []}\n' + b"not json\n", name="bad.jsonl")
    job = served.done_job(training_file=bad)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "invalid_training_file"
    assert job["error"]["param"] == "training_file"
    assert "bad.jsonl:2" in job["error"]["message"]
    assert "bad.jsonl:3" in job["error"]["message"]
    assert str(served.data_dir) not in job["error"]["message"]
    assert job["finished_at"] is not None
    levels = [event["level"] for event in served.get(f"/fine_tuning/jobs/{job['id']}/events")["data"]]
    assert levels[0] == "error"
    wrong_kind = served.done_job(training_file=served.upload(PREFERENCE_ROW * 3))
    assert wrong_kind["error"]["code"] == "invalid_training_file"


def test_a_job_that_fails_at_the_provider_says_why(serve_with: ServeWith) -> None:
    with serve_with(options={"fail": "out_of_luck"}) as served:
        job = served.done_job()
        assert (job["status"], job["error"]["code"], job["fine_tuned_model"]) == ("failed", "out_of_luck", None)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "model", "missing_required_parameter"),
        ({"model": MODEL}, "training_file", "missing_required_parameter"),
        ({"model": MODEL, "training_file": 7}, "training_file", "invalid_type"),
        ({"model": MODEL, "training_file": None}, "training_file", "invalid_type"),
        ({"model": MODEL, "training_file": "file-none"}, "training_file", "invalid_file_id"),
        ({"model": "gpt-0", "training_file": "FILE"}, "model", "model_not_available"),
        ({"model": MODEL, "training_file": "BATCH"}, "training_file", "invalid_file_purpose"),
        ({**GOOD, "validation_file": "x"}, "validation_file", "invalid_file_id"),
        ({**GOOD, "colour": 1}, "colour", "unknown_parameter"),
        ({**GOOD, "seed": -1}, "seed", "integer_below_min_value"),
        ({**GOOD, "seed": 2**31}, "seed", "integer_above_max_value"),
        ({**GOOD, "seed": "1"}, "seed", "invalid_type"),
        ({**GOOD, "seed": True}, "seed", "invalid_type"),
        ({**GOOD, "suffix": ""}, "suffix", "string_below_min_length"),
        ({**GOOD, "suffix": "x" * 65}, "suffix", "string_above_max_length"),
        ({**GOOD, "metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({**GOOD, "metadata": {str(i): "" for i in range(17)}}, "metadata", None),
        ({**GOOD, "metadata": {"k": "v" * 513}}, "metadata", None),
        ({**GOOD, "hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", None),
        ({**GOOD, "hyperparameters": {"n_epochs": "all"}}, "hyperparameters.n_epochs", None),
        ({**GOOD, "hyperparameters": {"n_epochs": 1.5}}, "hyperparameters.n_epochs", None),
        ({**GOOD, "hyperparameters": {"beta": 1}}, "hyperparameters.beta", None),
        ({**GOOD, "method": {"type": "magic"}}, "method.type", "invalid_value"),
        ({**GOOD, "method": {"type": "reinforcement"}}, "method.type", None),
        ({**GOOD, "integrations": [{"type": "wandb"}]}, "integrations[0].wandb", None),
    ],
)
def test_a_bad_body_is_told(served: Served, body: dict[str, Any], param: str, code: str | None) -> None:
    if body.get("training_file") == "FILE":
        body = {**body, "training_file": served.upload()}
    if body.get("training_file") == "BATCH":
        body = {**body, "training_file": served.upload(purpose="batch")}
    answer = served.client.post("/fine_tuning/jobs", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert code is None or error["code"] == code


def test_cancel_pause_and_resume_with_empty_json_bodies(serve_with: ServeWith) -> None:
    empty = {"content-type": "application/json"}
    with serve_with(options=SLOW) as served:
        job = served.new_job()
        path = f"/fine_tuning/jobs/{job['id']}"
        served.wait_for(path, "running")
        asked = served.client.post(f"{path}/pause", headers=empty).json()
        assert asked["status"] == "running", "asked for; the SDK's own type knows no `paused`"
        served.wait_for(path, "paused")
        assert served.client.post(f"{path}/pause", headers=empty).json()["status"] == "paused"
        assert served.client.post(f"{path}/resume", headers=empty).json()["status"] == "running"
        assert served.client.post(f"{path}/resume", headers=empty, content=b"{}").json()["status"] == "running"
        assert served.client.post(f"{path}/cancel", headers=empty).json()["status"] == "cancelled"
        again = served.client.post(f"{path}/cancel", headers=empty)
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")
        assert served.get(path)["finished_at"] is not None
        for step in ("pause", "resume"):
            answer = served.client.post(f"{path}/{step}", headers=empty)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "job_ended")
        unknown = served.client.post(f"{path}/cancel", json={"force": True})
        assert unknown.json()["error"]["code"] == "unknown_parameter"


def test_unknown_jobs_are_404(served: Served) -> None:
    for method, tail in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/checkpoints"),
        ("POST", "/cancel"),
        ("POST", "/pause"),
        ("POST", "/resume"),
    ):
        answer = served.client.request(method, f"/fine_tuning/jobs/ftjob-none{tail}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "fine_tune_not_found")


def test_a_restarted_server_goes_on(serve_with: ServeWith, tmp_path: Any) -> None:
    data_dir = tmp_path / "kept"
    with serve_with(options=SLOW, data_dir=data_dir) as served:
        running = served.new_job()
        served.wait_for(f"/fine_tuning/jobs/{running['id']}", "running")
    with serve_with(options={"steps": 3}, data_dir=data_dir) as served:
        done = served.wait_for(f"/fine_tuning/jobs/{running['id']}", "succeeded")
        assert done["fine_tuned_model"]
        page = served.get("/fine_tuning/jobs")["data"]
        assert [job["id"] for job in page] == [running["id"]]


def test_a_job_whose_files_were_not_read_yet_is_read_after_a_restart(serve_with: ServeWith, tmp_path: Any) -> None:
    from broker.jobs.store import open_store

    data_dir = tmp_path / "kept"
    with serve_with(data_dir=data_dir) as served:
        job = served.done_job()
    store = open_store(f"sqlite:///{data_dir / 'broker.db'}")
    record = store.document("server-job", job["id"])
    assert record is not None
    # As a kill between the answer to the client and the hand-over to the broker leaves it.
    store.put_document("server-job", job["id"], {**record, "broker_job": "", "result_file": None})
    before = len(store.jobs())
    store.close()
    with serve_with(data_dir=data_dir) as served:
        served.wait_for(f"/fine_tuning/jobs/{job['id']}", "succeeded")
    store = open_store(f"sqlite:///{data_dir / 'broker.db'}")
    assert len(store.jobs()) == before, "handed over again, the job is the one that exists"
    store.close()


def test_models_are_listed_and_a_tuned_one_can_be_deleted(served: Served) -> None:
    tuned = served.tuned_model(suffix="gone")
    names = {model["id"] for model in served.get("/models")["data"]}
    assert {MODEL, "other-base", "fake-base", tuned} <= names
    assert served.get(f"/models/{tuned}")["owned_by"] == "org-broker"
    assert served.get("/models/gpt-4o-mini")["id"] == "gpt-4o-mini", "an alias without its date is known"
    assert served.get("/models/gpt-6-astra")["id"] == "gpt-6-astra", "a key with a star covers it"
    assert served.client.delete(f"/models/{tuned}").json() == {"id": tuned, "object": "model", "deleted": True}
    assert served.client.get(f"/models/{tuned}").status_code == 404
    assert served.client.delete(f"/models/{tuned}").status_code == 404
    assert tuned not in {model["id"] for model in served.get("/models")["data"]}
    assert served.client.delete(f"/models/{MODEL}").json()["error"]["code"] == "cannot_delete_base_model"
    for name in ("nobody", "a/b/c", "ft:x:y:z:w", "../../etc/passwd"):
        answer = served.client.get(f"/models/{name}")
        assert answer.status_code == 404
