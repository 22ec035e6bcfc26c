"""What a run says: a table to read, JSON to keep, a chart to look at."""
