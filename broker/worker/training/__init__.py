"""LoRA training, SFT and DPO: options, rows, batches, adapters, losses, checkpoints, the loop."""
