#!/bin/sh
# Answers each message with how long this machine is up: sh uptime.sh HOST PORT NAME.
# A message counts as delivered when this machine has it: one that has not been answered
# when the script is killed is lost. A lost connection is made again.
fifo=$(mktemp -d)/fifo && mkfifo "$fifo" && trap 'rm -r "${fifo%/fifo}"' EXIT
while sleep 1; do
    nc "$1" "$2" <"$fifo" | {
        echo "$3"
        while read -r sender _; do
            case $sender in *:) echo "${sender%:}-$(uptime)" ;; esac
        done
    } >"$fifo"
done
