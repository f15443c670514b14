"""Migrations of the store's schema, applied by `broker.jobs.store.migration`."""
