"""The pipelines that come with the broker."""
