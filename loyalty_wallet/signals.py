"""The signals of this package.

Inside the transaction that changes something, with `send`: what a receiver raises undoes the change.

- `cards_changed`, with `card_keys` (a list of strings): what these cards show has changed. The sync
  marks their passes as due in that same transaction.
- `program_changed`, with `program` (a `LoyaltyProgram`): its sibling for all cards of a program.
- `passes_touched`, with `card_keys`: `touch` has made their passes due. A worker is woken for them
  after the commit.

Outside of transactions, with `send_robust`: what a receiver raises is logged and changes nothing.
Their receivers run in the thread that does the work, so a slow one should hand on what it has to do.

- `run_started`, with `run` (a `SyncRun`), in the process that leads the run: the command, the worker,
  the request. Once more when another process goes on with the run of a dead one.
- `run_finished`, with `run` and `report` (a `SyncReport`), in that same process: the run is closed,
  however it ended. A run whose process died, and a run that was skipped, have none.
- `card_failed`, with `failure` (a `CardFailure`) and `run_id` (None in real time), in the process that
  tried, a worker that helps included: one pass failed, and this is on record. Not for a pass that
  was `deferred`. Nothing is spent on it while nobody listens.
- `alert_raised` and `alert_resolved`, with `alert` (an `Alert`): an alarm has changed its state. In
  the process that leads a run, or in whichever calls `check_alarms`.
"""

from __future__ import annotations

from django.dispatch import Signal

cards_changed = Signal()
passes_touched = Signal()
program_changed = Signal()

run_started = Signal()
run_finished = Signal()
card_failed = Signal()
alert_raised = Signal()
alert_resolved = Signal()
