#!/bin/bash
# The health check of a container: asks the role's own endpoint for /healthz (alive) or /readyz (takes part), and ends
# with status 0 where the answer is yes. Without Node, which takes longer to start than the answer.
path=${1:-readyz} port=${DOWNPOUR_METRICS_PORT:-9464}
# Between two jobs there is nobody to ask.
if [ "$path" = healthz ] && [ -f /tmp/waiting ]; then exit 0; fi
exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
printf 'GET /%s HTTP/1.0\r\nConnection: close\r\n\r\n' "$path" >&3
IFS= read -r -t 4 status <&3
# What a person sees in docker inspect: the reason.
while IFS= read -r -t 4 line <&3; do [ "$line" = $'\r' ] && break; done
IFS= read -r -t 4 reason <&3
echo "$reason"
[[ $status == *" 200 "* ]]
