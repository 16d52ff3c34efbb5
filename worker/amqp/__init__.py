"""Everything that uses the AMQP client library."""
