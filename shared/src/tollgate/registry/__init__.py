"""The state that the registry log folds into."""
