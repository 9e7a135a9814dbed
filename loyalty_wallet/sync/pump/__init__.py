"""How due passes go through a run: claimed ahead, rendered, delivered lane by lane, recorded."""
