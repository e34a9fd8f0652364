#!/bin/sh
# The layer "engine": what our docker_engine role leaves on a host with docker_engine_source: distro.
set -eu
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
# The command is a package of its own from Debian 13 on.
cli=docker.io
apt-cache show docker-cli > /dev/null 2>&1 && cli=docker-cli
apt-get -qq -y install docker.io "$cli" python3-docker > /dev/null
rm -f /usr/sbin/policy-rc.d
apt-mark hold docker.io "$cli" containerd > /dev/null
mkdir -p /etc/docker
echo '{"log-opts": {"max-size": "10m", "max-file": "3"}}' > /etc/docker/daemon.json
apt-get clean
rm -rf /var/lib/apt/lists/*
