/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keeps this process from touching others of its user. The jobs of one unit share a uid (systemd.exec(5),
 * DynamicUser=), and the kernel lets processes of one uid signal each other and change each other's limits and
 * priorities; a job that a hostile server has taken over must not be able to end another one. */
#pragma once

/* From here on this process, its threads and children signal nobody but itself, by whichever call, and change nobody
 * else's limits or priority: what tries gets EPERM. It cannot be taken back. Wants PR_SET_NO_NEW_PRIVS. 0, also on a
 * kernel that has no filters of system calls; -errno. */
int alone_enforce(void);
