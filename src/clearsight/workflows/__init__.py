"""What a user asks for, from data to result: each module is one command and one function."""
