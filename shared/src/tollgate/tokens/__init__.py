"""The state that the tokens log folds into."""
