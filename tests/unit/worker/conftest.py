from tests.unit.worker.staged import counters, processor, store

__all__ = ["counters", "processor", "store"]
