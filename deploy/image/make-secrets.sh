#!/bin/sh
# In the init container: the cluster's authority, certificates and join token, made once, and a folder for each role
# with what it needs and no more. Arguments: the names and addresses under which coordinator and servers are reached.
set -eu
authority=/secrets/authority
if ! [ -w "$authority" ]; then
  echo "the volume authority can't be written by user $(id -u); remove it (docker volume rm) and start again" >&2
  exit 1
fi
if ! [ -f "$authority/join-token" ]; then
  # What an interrupted first start left is of no use.
  rm -f "$authority"/*.pem
  downpour certs token --dir /tmp &
  token=$!
  downpour certs init --dir "$authority" --host "$@"
  wait "$token"
  # The last: where it is, all is there.
  install -m 0600 /tmp/join-token "$authority/join-token"
fi

hand_out() {
  for file in ca.pem "$1.pem" "$1-key.pem" join-token; do install -m 0600 "$authority/$file" "/secrets/$2/$file"; done
}
for role in coordinator server worker evaluator admin; do hand_out "$role" "$role"; done

# NATS has a certificate of its own host, and lets in whom the same authority and token let in.
if ! [ -f /secrets/nats/nats.conf ]; then
  cp "$authority/ca.pem" "$authority/ca-key.pem" "$authority/server.pem" "$authority/server-key.pem" /tmp/
  downpour certs issue server --dir /tmp --host nats localhost 127.0.0.1
  for file in ca.pem server.pem server-key.pem; do install -m 0600 "/tmp/$file" "/secrets/nats/$file"; done
  rm -f /tmp/*.pem
  # Under its name when it is whole: NATS waits for it.
  cat >/secrets/nats/nats.conf.new <<CONF
port: 4222
http_port: 8222
max_payload: 8MB
jetstream { store_dir: "/secrets/nats-data" }
tls { cert_file: "/secrets/nats/server.pem", key_file: "/secrets/nats/server-key.pem", ca_file: "/secrets/nats/ca.pem", verify: true }
authorization { token: "$(cat "$authority/join-token")" }
CONF
  chmod 0600 /secrets/nats/nats.conf.new
  mv /secrets/nats/nats.conf.new /secrets/nats/nats.conf
fi
