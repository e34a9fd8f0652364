#!/bin/sh
# Makes the disk from which hosts with a kernel of their own boot: what comes as a tar on standard input, which is the image of
# a container host, and the modules of that kernel. Runs in a container of the image "kernel"; /disks is where disks are kept.
set -eu
root=/root/host
modules=/usr/lib/uml/modules
mkdir "$root"
tar -x --numeric-owner -C "$root" --exclude='dev/*' --exclude='proc/*' --exclude='sys/*'
mkdir -p "$root/lib/modules"
cp -a "$modules/." "$root/lib/modules/"
chroot "$root" depmod "$(ls "$modules")"
install -m 755 /lab/image/guest.sh "$root/guest.sh"
install -m 644 -D -t "$root/usr/local/share/lab" /lab/host/keep_compiled.*
# This kernel has no nf_tables for IPv4.
for command in iptables ip6tables; do
    chroot "$root" update-alternatives --quiet --set "$command" "/usr/sbin/$command-legacy"
done
# Docker writes these into containers.
rm -f "$root/.dockerenv" "$root/etc/resolv.conf" "$root/etc/hostname" "$root/etc/hosts"
# A reboot would execute the kernel again in the same process, which still holds its network device: it ends instead, and the
# container starts it again.
mkdir -p "$root/etc/systemd/system/systemd-reboot.service.d"
printf '[Unit]\nSuccessAction=poweroff-force\n' > "$root/etc/systemd/system/systemd-reboot.service.d/lab.conf"
truncate -s 8G /disks/new.ext4
mkfs.ext4 -q -F -m 0 -d "$root" /disks/new.ext4
mv /disks/new.ext4 /disks/base.ext4
