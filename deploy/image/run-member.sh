#!/bin/sh
# Runs a member of a cluster: server, worker or evaluator, with the arguments of that command. With DOWNPOUR_AFTER=wait,
# a member whose job is done waits for the next one, until it is told to end.
set -u
told=0
trap 'told=1' TERM INT
while :; do
  downpour "$@" &
  member=$!
  # A signal ends the wait, not the member: it gets the same signal from tini, and may take its time.
  wait "$member"
  status=$?
  while kill -0 "$member" 2>/dev/null; do
    wait "$member"
    status=$?
  done
  if [ "$status" -ne 0 ] || [ "$told" -eq 1 ] || [ "${DOWNPOUR_AFTER:-end}" != wait ]; then exit "$status"; fi
  echo "the job is done; waiting for the next one" >&2
  touch /tmp/waiting
  sleep 10 &
  wait $!
  rm -f /tmp/waiting
  [ "$told" -eq 0 ] || exit 0
done
