#!/bin/sh
# In the coordinator's container: runs the job of /job/job.yaml in /runs/$DOWNPOUR_RUN, or in a new folder.
set -eu
if [ -d /job/job.yaml ] || ! [ -r /job/job.yaml ]; then
  echo "the job file is not visible in this container: set DOWNPOUR_JOB to a file of the Docker host, readable by all" >&2
  exit 2
fi
if ! [ -w /runs ]; then
  echo "the volume of /runs can't be written by user $(id -u); give it to that user, or remove the volume" >&2
  exit 1
fi
exec downpour coordinator /job/job.yaml --run-dir "/runs/${DOWNPOUR_RUN:-$(date -u +%Y%m%d-%H%M%S)}" "$@"
