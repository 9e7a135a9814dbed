"""The signals of this package.

`cards_changed` is sent inside the transaction that changed what cards show, with
`card_keys` (a list of strings). The sync marks their passes as due in that same transaction.
`passes_touched` is sent by `touch`, in the transaction that made passes due, with `card_keys`; a
worker is woken for them after the commit.
`program_changed` is its sibling for all cards of a `program` (a `LoyaltyProgram`).
"""

from __future__ import annotations

from django.dispatch import Signal

cards_changed = Signal()
passes_touched = Signal()
program_changed = Signal()
