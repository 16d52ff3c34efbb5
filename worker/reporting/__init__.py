"""Reports: what each worker process publishes about itself at intervals, and what it is made of."""
