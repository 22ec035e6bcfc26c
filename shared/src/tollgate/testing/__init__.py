"""What tests of every service share: fixed time, throw-away keys."""
