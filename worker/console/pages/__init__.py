"""The console's pages, a module each: what is asked for, and what is shown of it."""
