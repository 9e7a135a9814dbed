"""What monitors and people ask: is every card right, and if not, what is in the way?"""
