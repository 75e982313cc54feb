#!/bin/sh
# Makes the certificates and the join token that kustomize puts into Secrets, in secrets/ beside this script. The
# authority's key stays there, and goes to no machine of the cluster. Needs the downpour command (npx downpour).
set -eu
cd "$(dirname "$0")"
downpour=${DOWNPOUR:-npx downpour}
hosts="coordinator-0.coordinator coordinator-1.coordinator"
for index in 0 1 2 3 4 5 6 7; do hosts="$hosts server-$index.server"; done
# shellcheck disable=SC2086
$downpour certs init --dir secrets --host $hosts
$downpour certs token --dir secrets
mkdir -m 0700 secrets/nats
cp secrets/ca.pem secrets/ca-key.pem secrets/server.pem secrets/server-key.pem secrets/nats/
$downpour certs issue server --dir secrets/nats --host nats nats-0.nats nats-1.nats nats-2.nats
rm secrets/nats/ca-key.pem
