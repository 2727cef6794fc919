/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cmocka with the headers that it expects to be there already. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
