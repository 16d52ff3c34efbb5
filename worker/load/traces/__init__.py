"""The traces of a load run, as its workers export them."""
