"""Connections: addresses, servers, pools, and what their errors mean; with the drivers, all that knows the driver."""
