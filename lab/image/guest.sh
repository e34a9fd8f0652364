#!/bin/sh
# PID 1 of a lab host with a kernel of its own, until systemd takes over. The kernel hands on the words of its command line that
# it does not know as environment variables, so one disk serves all hosts.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo "$LAB_NAME" > /etc/hostname
hostname "$LAB_NAME"
{
    echo "127.0.0.1 localhost"
    echo "$LAB_HOSTS" | tr ',=' '\n '
} > /etc/hosts
echo "nameserver $LAB_DNS" > /etc/resolv.conf
install -d -m 700 /root/.ssh
printf '%s\n' "$LAB_AUTHORIZED_KEY" > /root/.ssh/authorized_keys
if [ "$LAB_COMPILED" = yes ]; then
    cp /usr/local/share/lab/keep_compiled.* /usr/lib/python3/dist-packages/
fi
ip link set lo up
ip address add "$LAB_ADDRESS" dev vec0
ip link set vec0 up
ip route add default via "$LAB_GATEWAY"
unset LAB_AUTHORIZED_KEY LAB_HOSTS LAB_DNS LAB_COMPILED LAB_ADDRESS LAB_GATEWAY
exec /lib/systemd/systemd
