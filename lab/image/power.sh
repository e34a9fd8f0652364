#!/bin/sh
# PID 1 of the container of a host with a kernel of its own. It hands the container's address to that kernel, and becomes it.
# What a host has outside of itself, its network device for example, is in the container, and goes with it.
set -eu
read -r address gateway mac <<WORDS
$(ip -o -4 address show dev eth0 | awk '{print $4}') $(ip -4 route show default | awk '{print $3}') $(cat /sys/class/net/eth0/address)
WORDS
# The kernel inside has the address and the MAC that the network knows. The container keeps neither.
sysctl -q -w net.ipv6.conf.all.disable_ipv6=1
ip address flush dev eth0
ip link set eth0 down
ip link set eth0 address "06${mac#??}"
ip link add lab0 type bridge forward_delay 0 mcast_snooping 0
ip tuntap add tap0 mode tap
for device in eth0 tap0; do ip link set "$device" master lab0 up; done
ip link set lab0 up

# The kernel maps its memory from a file with permission to execute, so it cannot be in /dev/shm.
export TMPDIR=/memory HOME=/tmp
rm -rf /tmp/.uml
# The library is explained in kernel.sh.
exec env LD_PRELOAD=/usr/local/lib/registers.so linux.uml \
    mem="$LAB_MEMORY" umid=host ubd0=/disk/host.cow,/disks/base.ext4 root=/dev/ubda rw init=/guest.sh \
    vec0:transport=tap,ifname=tap0,depth=128,mac="$mac",gro=1 \
    systemd.unified_cgroup_hierarchy=1 con=null ssl=null con0=null,fd:1 console=tty0 \
    LAB_NAME="$LAB_NAME" LAB_ADDRESS="$address" LAB_GATEWAY="$gateway" LAB_DNS="$LAB_DNS" LAB_HOSTS="$LAB_HOSTS" \
    LAB_COMPILED="$LAB_COMPILED" "LAB_AUTHORIZED_KEY=\"$LAB_AUTHORIZED_KEY\""
