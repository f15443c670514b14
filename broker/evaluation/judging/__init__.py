"""Models that judge answers: by a rubric, or two answers against each other.

`prompts` says what a judge is asked, `reading` understands its reply, `asking` asks, stores and never asks twice,
`scores` is the metric `judge:RUBRIC`.
"""
