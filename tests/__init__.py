"""A package, so that `tests.fakes` is found here: a dependency (textstat) installs a `tests` of its own."""
