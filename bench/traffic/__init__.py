"""What is sent, who sends it, and who answers behind the program under test."""
