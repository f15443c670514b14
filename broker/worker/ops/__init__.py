"""What the torch process can do: name of the op → `module:function`, imported when it is first called."""

from __future__ import annotations

OPS: dict[str, str] = {
    "describe": "broker.worker.ops.describe:describe",
    "train": "broker.worker.ops.train:train",
    "generate": "broker.worker.ops.generate:generate",
    "embed": "broker.worker.ops.embed:embed",
    "merge": "broker.worker.ops.merge:merge",
    "perplexity": "broker.worker.ops.perplexity:perplexity",
    "build_sandbox": "broker.sandbox.build:build_model",
    "build_sandbox_encoder": "broker.sandbox.build:build_encoder",
}
