/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all verbs of idctl have in common. */
#include "idctl/verbs.h"

static const Option options[] = {
    { "quiet", 'q', NULL, "No progress and no remarks, only results" },
    { "no-ask-password", 0, NULL, "Do not ask for passwords when authorization is needed" },
    { NULL },
};

const Program idctl_program = { .name = "idctl", .page = "idctl(1)", .options = options };
