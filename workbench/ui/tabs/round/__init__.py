"""The tab "Round": its panels."""
