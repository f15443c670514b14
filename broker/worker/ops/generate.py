"""Answer chat prompts with a base model or with one of its adapters: batched, length-sorted, streamed.

Arguments (JSON):

```
{
  "model": "folder or hub id",           # base
  "adapter": "folder" | null,            # PEFT adapter put on the base; several share one loaded base
  "precision": "bf16"|"fp32"|"int8"|"nf4",   # default bf16
  "requests": [
    {"id": "7", "messages": [{"role": "user", "content": "…"}], "tools": [...]?,
     "temperature": 0.0, "top_p": 1.0, "max_tokens": 256, "seed": 0, "stop": ["…"]}
  ],
  "batch_size": 16,                      # rows made together
  "stream_tokens": false,                # emit `delta` events
  "logprobs": null | 0..20               # log-probabilities of the tokens, with so many alternatives
}
```

Events, as the work goes on:

```
{"kind": "delta", "id": "7", "text": "Hel", "logprobs": [...]?}   # only with stream_tokens; they add up to the answer
{"kind": "answers", "batch": 0, "answers": [answer, ...]}         # one finished batch
{"kind": "progress", "step": 16, "total_steps": 400}              # rows
```

An answer:

```
{"id": "7", "text": "Hello", "finish_reason": "stop"|"length", "input_tokens": 12, "output_tokens": 3,
 "latency_s": 0.2, "batch": 0, "failure": null | "why there is none",
 "logprobs": [{"token": "Hel", "bytes": [72, 101, 108], "logprob": -0.1,
               "top_logprobs": [{"token": …, "bytes": …, "logprob": …}]}]}   # only when asked for
```

Result: `{"rows": 400, "batches": 25, "output_tokens": 9000, "seconds": 12.3, "stopped": null | "cancel"}`. The
answers come as events only, so that nothing is sent twice.

The batches are planned over all requests of the call, longest prompt first, and each row draws from its own generator
(seeded by its `seed` and `id`): the same call gives the same text, and rows left over by an interruption, asked again
batch by batch, give the text they would have given.
"""

from __future__ import annotations
