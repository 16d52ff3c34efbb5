"""Reports: what each worker process tells now and then of what it does, and what they are made of."""
