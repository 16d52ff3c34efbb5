"""Connections: addresses, servers, pools and error translation; with the drivers, the only code that knows a driver."""
