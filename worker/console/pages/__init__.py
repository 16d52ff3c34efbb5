"""The console's pages, a module each: reads the data, and renders it."""
