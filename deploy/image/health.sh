#!/bin/bash
# The health of a container: asks the role's own endpoint for /healthz (alive) or /readyz (takes part), and ends with
# status 0 where the answer is yes. Without Node, which takes longer to start than the answer.
#
# `watch` is for Docker, to which each check costs a new process in the container, a fifth of a second of CPU time: one
# check takes a while. It waits until the role is ready; where it was, it ends when it is not any more, or in half a minute.
port=${DOWNPOUR_METRICS_PORT:-9464}
ready=/tmp/ready

# Sets `reason`, which a person sees in docker inspect.
ask() {
  local status line
  reason="nothing answers on port $port"
  { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
  printf 'GET /%s HTTP/1.0\r\nConnection: close\r\n\r\n' "$1" >&3
  IFS= read -r -t 4 status <&3
  while IFS= read -r -t 4 line <&3; do [ "$line" = $'\r' ] && break; done
  IFS= read -r -t 4 reason <&3
  exec 3>&-
  [[ $status == *" 200 "* ]]
}

case ${1:-readyz} in
watch)
  if [ -f $ready ]; then
    for _ in {1..10}; do
      if ! ask readyz; then
        rm -f $ready
        break
      fi
      sleep 3
    done
  else
    for _ in {1..40}; do
      if ask readyz; then
        touch $ready
        break
      fi
      sleep 0.2
    done
  fi
  echo "$reason"
  [ -f $ready ]
  ;;
*)
  # Between two jobs there is nobody to ask.
  if [ "$1" = healthz ] && [ -f /tmp/waiting ]; then exit 0; fi
  ask "${1:-readyz}"
  status=$?
  echo "$reason"
  exit $status
  ;;
esac
