"""Where models are tuned and asked: one interface (`contract`), a registry, and one module each."""
