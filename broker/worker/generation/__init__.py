"""Generation: the plan of the batches, the decoding loop, the text."""
