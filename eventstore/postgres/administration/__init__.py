"""Administration: operations that an administrator runs on a store, and the migrations of releases."""
