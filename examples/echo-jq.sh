#!/bin/sh
# Answers each message with its own text, by nc and jq: sh echo-jq.sh HOST PORT NAME.
# A message is acknowledged when its answer is safe. One that comes again gets the answer
# that it had, under the same id, which is sent once. A lost connection is made again.
fifo=$(mktemp -d)/fifo && mkfifo "$fifo" && trap 'rm -r "${fifo%/fifo}"' EXIT
while sleep 1; do
    nc "$1" "$2" <"$fifo" | sed -u 1d | { echo /json && jq -nc --unbuffered --arg me "$3" '
        def answer: "re-" + .id[-61:];
        {type: "login", user: $me},
        foreach inputs as $it ({}; if $it.type == "message" then .[$it | answer] = $it.seq else . end;
            if $it.type == "message" then $it | {type: "send", to: .from, text, id: answer}
            elif $it.type == "accepted" and .[$it.id] then {type: "ack", seq: .[$it.id]} else empty end)'
    } >"$fifo"
done
