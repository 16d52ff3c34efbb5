"""Load runs: publishes a scenario's commands, measures, and checks the log."""
