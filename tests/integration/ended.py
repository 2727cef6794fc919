# SPDX-License-Identifier: LGPL-2.1-or-later
"""What libidentityd says when an identity ends under an open credential: one test, for the fake identityd and for the real one, so
that the fake is no better than what it stands for."""

import os
import subprocess

CLIENT = os.path.join(os.environ["BUILD"], "tests/integration/ended-client")
ERRORS = {"revoked": "EKEYREVOKED", "retired": "ENOKEY"}


def check(case, before, identity, end, state):
    """Starts the client behind the words `before`, has `end` called with its process, and wants the errors of that state."""
    with subprocess.Popen([*before, CLIENT, identity], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            case.assertEqual(process.stdout.readline(), "open\n")
            end(process)
            out, err = process.communicate(timeout=90)
        finally:
            process.kill()
    case.assertEqual(out.split(), [ERRORS[state]] * 3, err)
    case.assertIn(state, err)
