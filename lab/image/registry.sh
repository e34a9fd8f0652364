#!/bin/sh
# The layer "registry": Debian's docker-registry, speaking TLS only, and the busybox that sample images hold.
set -eu
export DEBIAN_FRONTEND=noninteractive
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
apt-get -qq update
apt-get -qq -y install docker-registry busybox-static > /dev/null
rm -f /usr/sbin/policy-rc.d

# The certificate is the lab's: it is put here before the host boots.
cat > /etc/docker/registry/config.yml <<'CONF'
version: 0.1
storage:
  delete:
    enabled: true
  filesystem:
    rootdirectory: /var/lib/docker-registry
http:
  addr: :5000
  tls:
    certificate: /etc/docker/registry/registry.crt
    key: /etc/docker/registry/registry.key
CONF
# Keys come in owned by root, and a lab needs no second account.
mkdir -p /etc/systemd/system/docker-registry.service.d
printf '[Service]\nUser=root\nRestart=always\n' > /etc/systemd/system/docker-registry.service.d/lab.conf
systemctl enable --quiet docker-registry.service
install -m 755 "$(command -v busybox)" /usr/local/lib/busybox
apt-get clean
rm -rf /var/lib/apt/lists/*
