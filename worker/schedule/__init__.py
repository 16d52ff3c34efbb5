"""Time: commands that are sent later, from the request message to the message that a worker decides."""
