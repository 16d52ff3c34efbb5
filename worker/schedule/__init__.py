"""Time: commands that are sent later, from the message that asks for it to the one that a worker decides."""
