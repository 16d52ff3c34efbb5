"""The documented fields of a load run's summary."""

# The fields that the JSON of a run has at least.
PROMISED = {
    "scenario",
    "seed",
    "commands",
    "outcomes",
    "throughput_per_s",
    "latency_ms",
    "conflicts",
    "attempts",
    "wasted_decisions",
    "duplicates",
    "replica_read_share",
    "cpu_us_per_command",
    "violations",
    "oracle_checked",
}
