"""Session settings: what the store's sessions set, however the database and the role are set up."""

__all__ = ["LENT_SETTINGS", "SESSION_SETTINGS"]

SESSION_SETTINGS = {
    # Every statement is written so that one plan fits all values: planning anew would cost several times what
    # running does, and a plan that is chosen by values turns bad at the sixth call.
    "plan_cache_mode": "force_generic_plan",
    # A plan made while the tables were small must not scan them when they are large.
    "enable_seqscan": "off",
    # A statement names first what it has least of: the planner cannot know, and would guess.
    "join_collapse_limit": "1",
    "from_collapse_limit": "1",
    "jit": "off",
    "default_transaction_isolation": "read committed",
    # Not synchronous_commit: a database that asks for more than "on" must get it, and one that asks for less is
    # refused.
    # An append whose wait is cut short by a timeout may have happened; nothing here may cut it short.
    "statement_timeout": "0",
    "lock_timeout": "0",
}
"""What each session sets."""

LENT_SETTINGS = {
    **SESSION_SETTINGS,
    **dict.fromkeys(("transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"), "0"),
}
"""What one sets that is lent, with what ``lift.sql`` does for the others."""
