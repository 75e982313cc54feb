#!/bin/sh
# In the coordinator's container: runs the job of /job/job.yaml in /runs/$DOWNPOUR_RUN, or in a new folder. With
# DOWNPOUR_AFTER=wait it stays when the job is done, so that nobody starts it again, until it is told to end.
set -u
if [ -d /job/job.yaml ] || ! [ -r /job/job.yaml ]; then
  echo "the job file is not visible in this container: set DOWNPOUR_JOB to a file of the Docker host, readable by all" >&2
  exit 2
fi
if ! [ -w /runs ]; then
  echo "the volume of /runs can't be written by user $(id -u); give it to that user, or remove the volume" >&2
  exit 1
fi
# Started again after a failure it goes on with its run, also where nobody gave that a name.
if [ -z "${DOWNPOUR_RUN:-}" ]; then
  memory=/runs/.run-of-$(hostname)
  DOWNPOUR_RUN=$(cat "$memory" 2>/dev/null)
  if [ -z "$DOWNPOUR_RUN" ] || grep -qs '"outcome": "finished"' "/runs/$DOWNPOUR_RUN/summary.json"; then
    DOWNPOUR_RUN=$(date -u +%Y%m%d-%H%M%S)
    echo "$DOWNPOUR_RUN" >"$memory"
  fi
fi
run=/runs/$DOWNPOUR_RUN

# Ends as the job did, where that is over already.
if [ "${DOWNPOUR_AFTER:-end}" != wait ]; then
  if [ -f "$run/summary.json" ]; then
    if ! grep -q '"outcome": "failed"' "$run/summary.json"; then exit 0; fi
    echo "error: $(sed -n 's/^  "message": "\(.*\)",\{0,1\}$/\1/p' "$run/summary.json")" >&2
    exit 1
  fi
  exec downpour coordinator /job/job.yaml --run-dir "$run" "$@"
fi

told=0
trap 'told=1' TERM INT
if ! [ -f "$run/summary.json" ]; then
  downpour coordinator /job/job.yaml --run-dir "$run" "$@" &
  coordinator=$!
  wait "$coordinator"
  status=$?
  while kill -0 "$coordinator" 2>/dev/null; do
    wait "$coordinator"
    status=$?
  done
  if [ "$told" -eq 1 ]; then exit "$status"; fi
  # One that stood by meanwhile finds a job that is over.
  if [ "$status" -ne 0 ] && ! [ -f "$run/summary.json" ]; then exit "$status"; fi
fi
echo "the job of $run is done; waiting for another one" >&2
touch /tmp/waiting
while [ "$told" -eq 0 ]; do
  sleep 3600 &
  wait $!
done
