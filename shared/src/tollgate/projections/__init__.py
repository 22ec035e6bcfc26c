"""What a process knows of the logs: replicas in memory, their age, their snapshots."""
