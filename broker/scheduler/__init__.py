"""Lives the life of every job: claims it, drives it, follows it, and lets go of it cleanly."""

from broker.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
