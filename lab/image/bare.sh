#!/bin/sh
# Turns a minimal Debian into a bare lab host; runs inside the root file system.
# What is installed is what a freshly installed server has, and no container engine.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Mirrors in closed networks are often frozen: their index is then past its date.
cat > /etc/apt/apt.conf.d/90lab <<'CONF'
Acquire::Check-Valid-Until "false";
APT::Install-Recommends "false";
Acquire::Languages "none";
CONF

if [ "${1:-}" = install ]; then
    shift
    apt-get -qq update
    apt-get -qq -y install "$@" > /dev/null
fi

chmod 755 /init.sh

# A host starts with nobody else at work in apt.
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer fstrim.timer systemd-udevd.service systemd-logind.service \
    console-getty.service getty.target
systemctl enable --quiet ssh.service 2> /dev/null
mkdir -p /etc/ssh/sshd_config.d
cat > /etc/ssh/sshd_config.d/lab.conf <<'CONF'
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
MaxStartups 100
MaxSessions 100
CONF

apt-get clean
rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
rm -f /etc/machine-id /etc/hostname && : > /etc/machine-id
