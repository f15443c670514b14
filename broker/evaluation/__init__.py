"""Every model answers the same frozen questions; metrics turn the answers into numbers with intervals.

`evaluate` asks and scores, `load_result` reads what it found, `metric` makes a metric of a function. Importing this
package loads neither scipy nor textstat nor torch.
"""

from broker.evaluation.metrics import (
    DEFAULT_METRICS,
    PAPER_ENCODER,
    TONE_METRICS,
    Cost,
    Direction,
    Kind,
    Metric,
    MetricContext,
    Scored,
    check_metrics,
    metric,
    metric_names,
)
from broker.evaluation.prompts import prompts
from broker.evaluation.record import EvaluationResult, MetricResult, load_result, save_result
from broker.evaluation.run import Progress, evaluate

__all__ = [
    "DEFAULT_METRICS",
    "PAPER_ENCODER",
    "TONE_METRICS",
    "Cost",
    "Direction",
    "EvaluationResult",
    "Kind",
    "Metric",
    "MetricContext",
    "MetricResult",
    "Progress",
    "Scored",
    "check_metrics",
    "evaluate",
    "load_result",
    "metric",
    "metric_names",
    "prompts",
    "save_result",
]
