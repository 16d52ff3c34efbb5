from tests.unit.worker.staged import counters, scheduler, store

__all__ = ["counters", "scheduler", "store"]
