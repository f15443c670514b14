"""Data that is worth training on: made from sources, gated, without near-duplicates."""
