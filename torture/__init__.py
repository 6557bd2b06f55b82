"""Torture: the installed daemon and real clients, faults under load, and a ledger.

``python -m torture`` runs rounds. Each starts ``twistd -n chatd``, lets senders and
receivers talk to it, lets something go wrong, and then compares what the senders were
told with what the receivers got. docs/reliability.md says what counts as what.

The modules, each importing only from those before it:

* ledger, judgement, texts: pure; what was seen, and what it shows
* link, stage, lines, objects, unsettled: what players are made of
* talkers, sending, receiving, programs: the players
* database, daemon, faults: the daemon, and what happens to it
* plan, collecting, rounds, report: one round, and all of them
"""
