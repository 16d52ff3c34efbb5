"""Session settings: what the store's sessions set, whatever the database and role have configured."""

__all__ = ["LENT_SETTINGS", "SESSION_SETTINGS"]

SESSION_SETTINGS = {
    # Every statement is written so that one plan fits all values: planning again would cost several times the
    # execution, and a plan chosen for specific values turns bad at the sixth call.
    "plan_cache_mode": "force_generic_plan",
    # A plan made while the tables were small must not use sequential scans once they are large.
    "enable_seqscan": "off",
    # Each statement joins its smallest input first: the planner lacks the statistics to find that order.
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "jit": "off",
    "default_transaction_isolation": "read committed",
    # Not synchronous_commit: a database that asks for more than "on" keeps it, and one that asks for less is refused.
    # An append that a timeout cuts short may have been committed; no timeout may cut it short.
    "statement_timeout": "0",
    "lock_timeout": "0",
}
"""The settings of each session."""

LENT_SETTINGS = {
    **SESSION_SETTINGS,
    **dict.fromkeys(("transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"), "0"),
    # A warning beside a commit is the only sign that it did not wait for its standby.
    "client_min_messages": "warning",
    # How values are read and written as text.
    "TimeZone": "UTC",
    "array_nulls": "on",
    "client_encoding": "UTF8",
}
"""The settings of each lent session; they include what ``lift.sql`` does for the others."""
