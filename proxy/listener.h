/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets that identityd-proxy accepts at: made here, or passed by systemd (sd_listen_fds(3)). */
#pragma once

#include "proxy/settings.h"

#define PROXY_BACKLOG       256 /* connections that the kernel keeps while none is accepted */
#define PROXY_LISTENERS_MAX 8U
#define PROXY_LOCK_SUFFIX   ".lock" /* of the file beside a socket's path that is locked while the socket is made */
#define PROXY_LOCK_MILLIS   5000U   /* how long another may be busy at the same path */

typedef struct ProxyListener {
    int fd;
    ProxyAddress address;
    bool owns_path; /* made here, and removed at the end */
    dev_t device;   /* of the file at the path */
    ino_t inode;
} ProxyListener;

typedef struct ProxyListeners {
    ProxyListener list[PROXY_LISTENERS_MAX];
    size_t count;
} ProxyListeners;

/* Non-blocking, listening sockets. One that a process which is gone has left at the path is replaced; one at which
 * somebody answers is not, nor is any other file. No other thread may run: the umask is changed. Complains. */
ExitCode proxy_listeners_open(const ProxySettings *settings, ProxyListeners *ret);

/* Closes, and removes what was made at a path if it is still the same. */
void proxy_listeners_close(ProxyListeners *listeners);
#define _cleanup_proxy_listeners_ _cleanup_(proxy_listeners_close)
