"""The console: a small page of its own that shows what workers, queues and followers do. Installed by the extra."""
