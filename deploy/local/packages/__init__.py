"""Packages of Debian or Ubuntu, fetched and unpacked by a user who may not install them."""
