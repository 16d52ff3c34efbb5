from tests.unit.worker.staged import counters, scheduler, store, unhurried

__all__ = ["counters", "scheduler", "store", "unhurried"]
