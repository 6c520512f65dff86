"""What a key holder sees: the own keys, use, limits and models, and nothing of anybody else."""
