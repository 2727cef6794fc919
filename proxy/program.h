/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments that identityd-proxy takes. One table: identityd-proxy hands them on unread. */
#pragma once

#include "command/command.h"

extern const Program proxy_program;
extern const Verb proxy_verb; /* the program's only one */
