"""What people are told: what a phone should show, how far a change is, what a run would cost."""
