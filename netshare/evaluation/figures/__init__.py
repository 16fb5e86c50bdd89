"""What a report holds, as data: every figure, what it says in plain words, and its form in JSON."""
