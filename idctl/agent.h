/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The polkit agent that asks for a password on a terminal (pkttyagent), as systemctl starts it. */
#pragma once

#include "common/macros.h"

#include <sys/types.h>

typedef struct Agent {
    pid_t pid; /* 0: none was started */
} Agent;

/* Starts pkttyagent and waits until it has registered. Does nothing, successfully, where it is of no use: no terminal
 * on standard input, root, or no pkttyagent. 0 or -errno, after which the command still works without being asked. */
int agent_start(Agent *ret);

/* Ends what agent_start() started. */
void agent_stop(Agent *agent);
