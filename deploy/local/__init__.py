"""The local stack: real PostgreSQL and RabbitMQ servers on this machine, without Docker."""
