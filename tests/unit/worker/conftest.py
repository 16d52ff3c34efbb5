from tests.unit.worker.staged import counters, one_round, scheduler, store

__all__ = ["counters", "one_round", "scheduler", "store"]
