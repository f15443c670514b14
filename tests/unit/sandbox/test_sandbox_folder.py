"""A sandbox model appears whole or not at all, and is made once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from broker.errors import StoreError, WorkerError
from broker.sandbox import encoder_dir, is_built, model_dir
from broker.sandbox.folder import MANIFEST, publishing
from broker.sandbox.making import ensure_model
from broker.sandbox.recipe import EncoderRecipe, ModelRecipe, version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from broker.worker.pool import WorkerPool

pytestmark = pytest.mark.anyio


class SlowMaker:
    """A torch process that writes one file instead of a model, and counts."""

    def __init__(self, result: Mapping[str, Any] | None = None) -> None:
        self.calls = 0
        self._result = result

    async def call(
        self, op: str, args: Mapping[str, Any], *, on_event: Callable[[dict[str, Any]], None] | None = None
    ) -> Mapping[str, Any]:
        from pathlib import Path

        assert op == "build_sandbox"
        self.calls += 1
        await anyio.lowlevel.checkpoint()
        if self._result is not None:
            return self._result
        with publishing(Path(args["folder"]), ModelRecipe()) as draft:
            await anyio.sleep(0.3)
            (draft / "weights").write_text("1")
        if on_event:
            on_event({"step": 1, "total_steps": 1})
        return {"folder": args["folder"]}

    @property
    def pool(self) -> WorkerPool:
        return cast("WorkerPool", self)


class TestFolder:
    def test_names_differ_and_follow_the_recipe(self, tmp_path: Path) -> None:
        assert model_dir(tmp_path) != encoder_dir(tmp_path)
        assert version(ModelRecipe()) in model_dir(tmp_path).name
        assert len({version(ModelRecipe()), version(ModelRecipe(seed=1)), version(EncoderRecipe())}) == 3

    def test_what_was_made_otherwise_is_not_taken_for_it(self, tmp_path: Path) -> None:
        folder = model_dir(tmp_path)
        assert not is_built(folder)
        with publishing(folder, ModelRecipe(steps=5)):
            pass
        assert not is_built(folder)
        with publishing(folder, ModelRecipe()):
            assert not is_built(folder)
        assert is_built(folder)
        assert json.loads((folder / MANIFEST).read_text())["recipe"]["steps"] == ModelRecipe().steps

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"text"'])
    def test_a_torn_manifest_is_no_model(self, tmp_path: Path, content: str) -> None:
        (tmp_path / MANIFEST).write_text(content)
        assert not is_built(tmp_path)

    def test_an_interrupted_making_leaves_nothing_and_keeps_the_old(self, tmp_path: Path) -> None:
        folder = model_dir(tmp_path)
        with publishing(folder, ModelRecipe()) as draft:
            (draft / "weights").write_text("old")
        with pytest.raises(KeyboardInterrupt), publishing(folder, ModelRecipe()) as draft:
            (draft / "weights").write_text("new")
            raise KeyboardInterrupt
        assert (folder / "weights").read_text() == "old"
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    def test_a_cache_that_cannot_be_written_is_a_store_error(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file is in the way")
        with pytest.raises(StoreError, match="BROKER_CACHE_DIR"), publishing(model_dir(tmp_path), ModelRecipe()):
            pass


class TestEnsure:
    async def test_two_at_once_make_one(self, tmp_path: Path) -> None:
        first, second = SlowMaker(), SlowMaker()
        async with anyio.create_task_group() as tasks:
            for maker in (first, second):
                tasks.start_soon(ensure_model, tmp_path, maker.pool)
        assert first.calls + second.calls == 1
        assert is_built(model_dir(tmp_path))

    async def test_a_built_one_is_not_made_again_unless_asked(self, tmp_path: Path) -> None:
        maker = SlowMaker()
        folder = await ensure_model(tmp_path, maker.pool)
        assert await ensure_model(tmp_path, maker.pool) == folder
        assert maker.calls == 1
        await ensure_model(tmp_path, maker.pool, rebuild=True)
        assert maker.calls == 2

    async def test_drafts_of_a_killed_process_are_swept(self, tmp_path: Path) -> None:
        folder = model_dir(tmp_path)
        draft = folder.with_name(f".{folder.name}-abc")
        (draft / "half").mkdir(parents=True)
        await ensure_model(tmp_path, SlowMaker().pool)
        assert not draft.exists()

    async def test_a_stop_is_an_error_and_leaves_no_model(self, tmp_path: Path) -> None:
        with pytest.raises(WorkerError) as caught:
            await ensure_model(tmp_path, SlowMaker({"stopped": "shutdown"}).pool)
        assert caught.value.kind == "stopped"
        assert not model_dir(tmp_path).exists()
