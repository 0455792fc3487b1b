"""Images of teams: uploaded or fetched, checked, converted, and offered to their team."""
