/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl, and its verbs, each in the file of its name. */
#pragma once

#include "command/command.h"

extern const Program idctl_program;

extern const Verb verb_check;
extern const Verb verb_connect;
extern const Verb verb_enroll;
extern const Verb verb_forget;
extern const Verb verb_install;
extern const Verb verb_list;
extern const Verb verb_metrics;
extern const Verb verb_monitor;
extern const Verb verb_proxy;
extern const Verb verb_reload;
extern const Verb verb_renew;
extern const Verb verb_request;
extern const Verb verb_reset_clock;
extern const Verb verb_retire;
extern const Verb verb_show;
extern const Verb verb_sign;
extern const Verb verb_verify;
extern const Verb verb_version;
extern const Verb verb_wait;
