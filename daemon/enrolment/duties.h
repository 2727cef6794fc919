/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The duties of this room, for the table. */
#pragma once

#include "identity/duties.h"

extern const Duty enrolment_duty; /* certificates by EST, by itself and when asked (enrolment.h) */
extern const Duty inquiry_duty;   /* looking at the CA (inquiry.h): nothing by itself */
extern const Duty manual_duty;    /* requests and chains by hand (manual.h): nothing by itself */
extern const Duty rollover_duty;  /* the anchors */
