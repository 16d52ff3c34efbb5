"""The console: a small web page that shows what workers, queues and followers do. Installed by the extra."""
