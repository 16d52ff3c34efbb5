"""Dead letters: parsing them, selecting them, and sending them again."""
