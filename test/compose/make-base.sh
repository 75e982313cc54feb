#!/bin/sh
# Makes the images that deploy/ names from Debian packages, where they can't be pulled: Node (from the one that runs
# here), NATS and, asked for, Prometheus. Run as root. Usage: make-base.sh FOLDER node|nats|prometheus IMAGE
set -eu
folder=$1 what=$2 image=$3
base=downpour-test-debian:bookworm
mirror=http://deb.debian.org/debian
mkdir -p "$folder"

if ! docker image inspect "$base" >/dev/null 2>&1; then
  rm -rf "$folder/debian"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$folder/debian" "$mirror" >"$folder/debootstrap.log"
  printf 'deb %s bookworm main\ndeb %s bookworm-updates main\n' "$mirror" "$mirror" >"$folder/debian/etc/apt/sources.list"
  rm -rf "$folder/debian/var/cache/apt/archives" "$folder/debian/var/lib/apt/lists"
  mkdir -p "$folder/debian/var/cache/apt/archives/partial" "$folder/debian/var/lib/apt/lists/partial"
  tar -C "$folder/debian" -c . | docker import - "$base" >/dev/null
  rm -rf "$folder/debian"
fi

context="$folder/$what"
rm -rf "$context"
mkdir -p "$context"
case $what in
  node)
    prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
    mkdir -p "$context/node/bin" "$context/node/include" "$context/node/lib/node_modules"
    cp "$(readlink -f "$(command -v node)")" "$context/node/bin/node"
    cp -r "$prefix/include/node" "$context/node/include/node"
    cp -r "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$context/node/lib/node_modules/npm"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$context/node/bin/npm"
    ln -s ../lib/node_modules/npm/bin/npx-cli.js "$context/node/bin/npx"
    cat >"$context/Dockerfile" <<DOCKERFILE
FROM $base
COPY node/ /usr/local/
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node
CMD ["node"]
DOCKERFILE
    ;;
  nats)
    cat >"$context/Dockerfile" <<DOCKERFILE
FROM $base
RUN apt-get update && apt-get install -y --no-install-recommends nats-server wget && rm -rf /var/lib/apt/lists/*
EXPOSE 4222 8222 6222
ENTRYPOINT ["nats-server"]
DOCKERFILE
    ;;
  prometheus)
    cat >"$context/Dockerfile" <<DOCKERFILE
FROM $base
RUN apt-get update && apt-get install -y --no-install-recommends prometheus wget && rm -rf /var/lib/apt/lists/*
RUN mkdir -p /prometheus && chown nobody:nogroup /prometheus
EXPOSE 9090
USER nobody
ENTRYPOINT ["/usr/bin/prometheus"]
DOCKERFILE
    ;;
  *)
    echo "make-base.sh: $what: expected node, nats or prometheus" >&2
    exit 2
    ;;
esac
docker build --quiet --tag "$image" "$context"
rm -rf "$context"
