#!/bin/sh
# The layer "engine": what our docker_engine role leaves on a host with docker_engine_source: distro.
set -eu
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq -y install docker.io python3-docker $(apt-cache show docker-cli > /dev/null 2>&1 && echo docker-cli) > /dev/null
rm -f /usr/sbin/policy-rc.d
apt-get clean
rm -rf /var/lib/apt/lists/*
