"""A process of their own for poison messages: commands that may have killed the process that had them."""
