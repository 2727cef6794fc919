# SPDX-License-Identifier: LGPL-2.1-or-later
"""What mutations.py makes of statements, rule by rule, and whether names of changes stay what they are."""

from mutations import RULES, mutants_of

# What each rule makes of a statement: (rule, before, after…). The statements stand in int f(struct x *x, int a, bool b).
EXPECTED = [
    ("check-dropped", "if (a < 0) return a;", "if ((a < 0) && 0) return a;"),
    ("check-dropped", "if (a) { x->n = 1; goto out; }", "if ((a) && 0) { x->n = 1; goto out; }"),
    ("check-dropped", "if (!x) return -ENOMEM;"),
    ("check-dropped", "if (a) g(x);"),
    ("check-dropped", "if (!x) { h(x); return GNUTLS_E_MEMORY_ERROR; }"),
    ("check-dropped", "if (!x) return fail(x, -ENOMEM);"),
    ("check-dropped", "if (a == -ENOMEM) return g(x);"),
    ("check-dropped", "if (a == GNUTLS_E_MEMORY_ERROR) return g(x);"),
    ("check-dropped", "if (a == -ENOENT) return g(x);", "if ((a == -ENOENT) && 0) return g(x);"),
    ("check-dropped", "if (!x) return a == -ENOMEM ? a : g(x);", "if ((!x) && 0) return a == -ENOMEM ? a : g(x);"),
    ("branch-dropped", "if (a) { g(x); h(x); }", "if ((a) && 0) { g(x); h(x); }"),
    ("branch-dropped", "if (a) g(x);"),
    ("branch-dropped", "if (a) free(x);"),
    ("branch-dropped", "if (a) { free(x); b = 0; }", "if ((a) && 0) { free(x); b = 0; }"),
    ("condition-turned", "if (a) free(x);"),
    ("condition-turned", "for (int i = 0; i < a; i++) x_free(x);"),
    ("condition-turned", "if (a < 0) free(x); else g(x);", "if (a <= 0) free(x); else g(x);", "if (a >= 0) free(x); else g(x);"),
    ("operand-dropped", "if (a || b) free(x);"),
    ("operand-dropped", "if (a || g(x, b) || !x) return 1;", "if (g(x, b) || !x) return 1;", "if (a || !x) return 1;",
     "if (a || g(x, b)) return 1;"),
    ("operand-dropped", "b = a == 1 && (x || a);", "b = (x || a);", "b = a == 1;", "b = a == 1 && (a);", "b = a == 1 && (x);"),
    ("operand-dropped", "if (!x || !x->y) return -ENOMEM;"),
    ("operand-dropped", "if (!x || !x->y) { g(x); return fail(x, -ENOMEM); }"),
    ("condition-turned", "b = a < 3;", "b = a <= 3;", "b = a >= 3;"),
    ("condition-turned", "b = a >= 3;", "b = a > 3;", "b = a < 3;"),
    ("condition-turned", "b = a == 3 && !x;", "b = a != 3 && !x;", "b = a == 3 || !x;", "b = a == 3 && x;"),
    ("condition-turned", "b = b || x;", "b = b && x;"),
    ("condition-turned", "if (x->fd < 0) { a = 1; }", "if (x->fd >= 0) { a = 1; }"),
    ("condition-turned", "while (x->y) { a = 1; }", "while (!(x->y)) { a = 1; }"),
    ("condition-turned", "a = b ? 1 : 2;", "a = !(b) ? 1 : 2;"),
    ("condition-turned", 'a = "x < y, !z"[1]; /* a < b */ // a && b'),
    ("bound-moved", "if (a > NAME_MAX) return 1;", "if (a > (NAME_MAX + 1)) return 1;"),
    ("bound-moved", "if (a < 0x0f) return 1;", "if (a < 0x0e) return 1;"),
    ("bound-moved", "a = a * 10U + 1;", "a = a * 9U + 1;", "a = a * 11U + 1;", "a = a * 10U + 0;", "a = a * 10U + 2;"),
    ("bound-moved", "char buffer[64];"),
    ("bound-moved", "a = UINT64_MAX;"),
    ("bound-moved", "a = -1; a = (int) -1; g(0, NULL); int c = 0;"),
    ("bound-moved", "x = calloc(1, sizeof *x);"),
    ("error-made-0", "return -EINVAL;", "return 0;"),
    ("error-made-0", "return g(x, a);", "return ((void) (g(x, a)), 0);"),
    ("error-made-0", "return a;", "return 0;"),
    ("error-made-0", "a = -EIO;", "a = 0;"),
    ("error-made-0", "return 3; return -ENOMEM; return;"),
    ("error-made-0", "return fail(x, -ENOMEM);"),
    ("error-made-0", "if (a == -ENOMEM) return fail(x, a);"),
    ("error-made-0", "return bytes_copy(x, g(a));"),
    ("error-made-0", "a = bytes_copy(x); if (a < 0) return a;"),
    ("error-made-0", "a = bytes_copy(x); return a < 0 ? a : bytes_append(x, b);"),
    ("error-made-0", "a = bytes_copy(x); free(x); return a;"),
    ("error-made-0", "a = g(x); free(x); return a;", "a = g(x); free(x); return 0;"),
    ("error-made-0", "a = g(x); return a < 0 ? a : bytes_append(x, b);",
     "a = g(x); return ((void) (a < 0 ? a : bytes_append(x, b)), 0);"),
    ("error-made-0", "a = bytes_copy(x); if (b < 0) return b;", "a = bytes_copy(x); if (b < 0) return 0;"),
    ("check-dropped", "int r = bytes_copy(x); if (r < 0) return r;"),
    ("check-dropped", "int r = g(x); if (r < 0) return r;", "int r = g(x); if ((r < 0) && 0) return r;"),
    ("call-removed", "g(x, (a));", "{}"),
    ("call-removed", "if (a) (void) x->g(x); else h(x);", "if (a) {} else h(x);", "if (a) (void) x->g(x); else {}"),
    ("call-removed", "int r = g(x);", "int r = 0;"),
    ("call-removed", "g_free(x); free(x); log_entry(g(x)); assert(g(x)); return g(x); int c = g(x);"),
    ("call-removed", "(void) fail(-ENOMEM, 3);"),
    ("assignment-removed", "x->y = a;", "{}"),
    ("assignment-removed", "*x = (X) { .y = a };", "{}"),
    ("assignment-removed", "x->n++;", "{}"),
    ("assignment-removed", "if (a) { g(x); } x->y = a;", "if (a) { g(x); } {}"),
    ("assignment-removed", "int c = x->y; a = x->y; for (x->i = 0; x->i < 3; x->i++) { }"),
    ("boolean-flipped", "x->b = g(true);", "x->b = g(false);"),
    ("boolean-flipped", 'log_entry(true); g("false");'),
]


def self_test():
    """The number of failures, which are printed."""
    failures = 0

    def expect(what, wanted, got):
        nonlocal failures
        if wanted != got:
            failures += 1
            print(f"{what}: wanted {wanted}, got {got}")

    head = "int f(struct x *x, int a, bool b) {\n"
    for rule, statement, *after in EXPECTED:
        found = [m for m in mutants_of("room/a.c", head + statement + "\n}\n") if m.rule == rule]
        expect(f"{rule} of {statement}", sorted(after), sorted(m.after for m in found))
        expect(f"rule {rule}", True, rule in RULES)
    table = mutants_of("room/a.c", "static const X table[] = {\n { 1, true },\n};\nbool g(void) { return -1; }\n")
    freeing = "X *x_free(X *x) {\n if (!x)\n return NULL;\n bytes_clear(&x->y);\n g(x);\n return NULL;\n}\n"
    expect("what frees", ["if ((!x) && 0)", "{}"], [m.after for m in mutants_of("room/a.c", freeing)])
    expect("a table", [("table", "{ 1, false },")], [(m.function, m.after) for m in table])

    text = head + "int r = g(x);\nif (r < 0)\n    return r;\nr = h(x);\nif (r < 0)\n    return r;\nreturn k(x);\n}\n"
    before = {m.id: m.after for m in mutants_of("daemon/room/a.c", text)}
    expect("number of ids", len(mutants_of("daemon/room/a.c", text)), len(before))
    more = "/* if (r < 0) */\n#define X(a) \\\n    if (a < 0)\nint e(void) {\n    return r;\n}\n\n"
    more += text.replace("r = h(x);", "r  = h(x); // h\n\n")
    moved_room = {m.id: m for m in mutants_of("room/a.c", more)}
    expect("ids beside other lines", set(), set(before) - set(moved_room))
    expect("meaning of ids", [], [i for i in before if before[i] != moved_room[i].after.replace(" // h", "")])
    third = text.replace("r = h(x);", "r = l(x);\nif (r < 0)\n    return r;\nr = h(x);")
    other = {m.id for m in mutants_of("room/a.c", text.replace("h(x)", "l(x)")) if m.rule == "check-dropped"}
    expect("ids of another check", 1, len(other & set(before)))
    twice = {m.id: m.line for m in mutants_of("room/a.c", third)}
    dropped = {i: m.line for i, m in ((m.id, m) for m in mutants_of("room/a.c", text)) if m.rule == "check-dropped"}
    expect("ids of equal lines", [3, 9], [twice.get(i) for i in dropped])
    return failures
