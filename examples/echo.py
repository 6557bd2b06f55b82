"""Answers each message with its own text: python3 echo.py HOST PORT NAME.

A message is acknowledged when its answer is safe. One that comes again gets the answer
that it had, under the same id, which is sent once. A lost connection is made again.
"""

import json
import sys
import time
from contextlib import suppress
from functools import partial
from itertools import islice
from socket import create_connection

while not time.sleep(1):
    with suppress(OSError, ValueError), create_connection(sys.argv[1:3]) as server:
        lines, seqs = server.makefile(encoding="utf-8"), {}
        say = partial(print, file=server.makefile("w", encoding="utf-8"), flush=True)
        say("/json", json.dumps({"type": "login", "user": sys.argv[3]}), sep="\n")
        for it in map(json.loads, islice(lines, 1, None)):  # but for the prompt
            if it["type"] == "message":
                seqs[id := "re-" + it["id"][-61:]] = it["seq"]
                answer = {"to": it["from"], "text": it["text"], "id": id}
                say(json.dumps({"type": "send"} | answer))
            elif it["type"] == "accepted" and it["id"] in seqs:
                say(json.dumps({"type": "ack", "seq": seqs.pop(it["id"])}))
