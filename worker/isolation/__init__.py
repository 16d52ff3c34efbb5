"""A separate process for possibly poisonous messages: commands that may have killed the process that had them."""
