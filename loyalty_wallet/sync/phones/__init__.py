"""What becomes of a change at the far end: phones that hold a card, are rung, and come for it."""
