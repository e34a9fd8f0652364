#!/bin/sh
# The layer "kernel": Linux as an ordinary program (user-mode Linux), which is what a host with a kernel of its own runs on.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# The kernel has legacy iptables and no nf_tables for IPv4, so its hosts use the former. Debian 12 has 6.1, and 14 has lost both.
apt-get -qq -y install user-mode-linux e2fsprogs > /dev/null

# This kernel writes back 2696 bytes of a process's extended registers, and the machine takes all of them or none (EFAULT, "ptrace
# set fp regs failed", and no host boots): with AMX there are 11 KB. What the kernel does not know is written back as it is.
cat > /tmp/registers.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
    static long (*next)(enum __ptrace_request, ...);
    static char all[1 << 16];
    va_list rest;
    va_start(rest, request);
    int pid = va_arg(rest, int);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!next)
        next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
    long done = next(request, pid, address, data);
    if (done != -1 || errno != EFAULT || request != PTRACE_SETREGSET)
        return done;
    struct iovec *some = data, whole = {all, sizeof all};
    if (next(PTRACE_GETREGSET, pid, address, &whole) == -1 || some->iov_len > whole.iov_len)
        return -1;
    memcpy(all, some->iov_base, some->iov_len);
    return next(PTRACE_SETREGSET, pid, address, &whole);
}
C
apt-get -qq -y install --no-install-recommends gcc libc6-dev > /dev/null
gcc -shared -fPIC -O2 -Wall -o /usr/local/lib/registers.so /tmp/registers.c
apt-get -qq -y purge --auto-remove gcc libc6-dev > /dev/null
rm /tmp/registers.c

apt-get clean
rm -rf /var/lib/apt/lists/*
