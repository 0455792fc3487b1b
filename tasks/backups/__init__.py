"""Where backups are kept: stores."""
