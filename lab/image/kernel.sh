#!/bin/sh
# The layer "kernel": Linux as an ordinary program (user-mode Linux), which is what a host with a kernel of its own runs on.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# The kernel has legacy iptables and no nf_tables for IPv4, so its hosts use the former. Debian 12 has 6.1, and 14 has lost both.
apt-get -qq -y install user-mode-linux e2fsprogs > /dev/null
apt-get clean
rm -rf /var/lib/apt/lists/*
