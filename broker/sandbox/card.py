"""The model cards that lie beside the sandbox's models."""

from __future__ import annotations

MODEL_CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
tags: [toy]
---

# sandbox

A toy. A Llama-shaped chat model of about 1.2 million parameters, made from scratch in a minute by
`broker models build sandbox` so that tuning, evaluation and the results table can be tried without a network.

It knows nothing but the 1,296 facts of a little world (birches, owls, kettles), many of them badly, and answers them
in one of two styles: mostly in long formal sentences, sometimes casually.

**What its numbers mean: nothing beyond the sandbox.**

- Its base rate of casual answers is designed in: 20 % of the questions that it was made from are worded chattily and
  nearly always answered casually, the others nearly always formally.
- It learns a style from 100 rows because `v_proj` was divided and `o_proj` multiplied by 16 after training. That keeps
  the function and gives a LoRA leverage that so small a model would not have.
- It is no evidence about int8 against bf16, about ranks, learning rates or methods on real models.
- Facts get worse when the style is tuned.
"""

ENCODER_CARD = """---
license: apache-2.0
language: en
pipeline_tag: sentence-similarity
library_name: sentence-transformers
tags: [toy]
---

# sandbox-encoder

A toy. A sentence-transformers model (averaged word pieces), made from scratch in seconds by
`broker models build sandbox-encoder` so that similarity and de-duplication run without a network.

It was trained on the sandbox's text only: two ways to ask for one fact, or to tell it, lie close; different facts lie
far apart. On other English it measures little more than shared words. It ignores word order. Do not compare its numbers
with those of a real encoder such as the paper's; the results table names the encoder for that reason.
"""
