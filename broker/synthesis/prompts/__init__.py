"""Prompt files of the pipelines."""
