"""Blind votes: people see two answers to a prompt, without names and in random order, and say which is better.

`make_ballot` chooses what is voted on, `VoteBook` keeps the votes, `Booth` is what one voter sees and does, `tally`
counts. The page is `broker.server.voting`, the terminal `broker.cli.vote`.
"""

from broker.voting.ballot import CRITERION, SEED, Ballot, BallotRow, Question, Shown, Turn, make_ballot, presented
from broker.voting.book import Choice, Vote, VoteBook, Voter
from broker.voting.booth import Booth, View
from broker.voting.tally import tally

__all__ = [
    "CRITERION",
    "SEED",
    "Ballot",
    "BallotRow",
    "Booth",
    "Choice",
    "Question",
    "Shown",
    "Turn",
    "View",
    "Vote",
    "VoteBook",
    "Voter",
    "make_ballot",
    "presented",
    "tally",
]
