"""The rules of a workspace: commands, why they are refused, and what follows."""
