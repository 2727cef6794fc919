# SPDX-License-Identifier: LGPL-2.1-or-later
"""Small changes by rule to the text of a C source: what tests/mutants tries. Pure: text goes in, mutants come out.

This is no C parser. It knows tokens, brackets, where a function begins and where a statement does, which is enough for the
C of this house; what it gets wrong does not compile, and does not count.

RULES
  check-dropped       if (X) return …      the way out is never taken; X is still evaluated
  branch-dropped      if (X) { … }         the branch is never taken; X is still evaluated
  operand-dropped     a || b, a && b       only a, only b
  condition-turned    < <= > >= == != && || !x, and a bare condition
  bound-moved         a number or a NAME_MAX, one more and one less
  error-made-0        return -E…, return r, return f(…), r = -E…
  call-removed        f(…);                and r = f(…) as if f had said 0; not what only frees or logs
  assignment-removed  x->y = …; *x = …; x->n++;
  boolean-flipped     true, false          also in tables at file level

That memory runs out no test makes happen: what leads to -ENOMEM or to a library's word for it is left alone, but for
conditions that are turned; so is what only hands on the result of a copy (MEMORY_ALONE). Nor does a plain build show a leak:
what only frees, and whether it does, is left alone as well.
"""

import hashlib
import os
import re
from collections import Counter, namedtuple

RULES = re.findall(r"^  ([a-z0-9-]+)  ", __doc__, re.MULTILINE)

Token = namedtuple("Token", "kind text start end line")
# An edit: text[start:end] becomes `new`. `file` is a path below the root, `line` counts from 1.
Mutant = namedtuple("Mutant", "id file line function rule start end new before after")

TOKEN = re.compile(r"""(?P<space>\s+|/\*.*?\*/|//[^\n]*)
    |(?P<directive>\#(?:\\\n|/\*.*?\*/|[^\n])*)
    |(?P<string>(?:L|u8?|U)?"(?:\\.|[^"\\])*"|(?:L|u|U)?'(?:\\.|[^'\\])*')
    |(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<operator>\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\S)""", re.VERBOSE | re.DOTALL)

OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, {")": "(", "]": "[", "}": "{"}
ASSIGN = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="}
RELATION = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
LOGIC = {"&&": "||", "||": "&&"}
# What ends an operand to its left or right, at its own depth of brackets.
EDGE = ASSIGN | {"(", "[", "{", ")", "]", "}", ",", ";", "?", ":", "return", "case", "else"}
KEYWORDS = {"if", "else", "for", "while", "do", "switch", "case", "default", "return", "goto", "break", "continue", "sizeof"}
QUALIFIERS = {"const", "static", "struct", "enum", "union", "unsigned", "signed", "long", "short", "volatile", "_Atomic"}
LEAVE = {"return", "goto", "break", "continue"}
# Neither the call nor what is in its brackets: text for people, and our own bugs.
UNTOUCHED = re.compile(r"(static_)?assert|_Static_assert|log_\w+|va_(start|end|copy)|__builtin_\w+")
# A leak is the sanitizers' business, and no test of a plain build sees one. What is cleared in a function that frees what
# it is in is never looked at again either.
FREES = re.compile(r"(\w+_)?(free|unref|deinit|close|close_safe|destroy)")
CLEARS, FREEING = re.compile(r"\w+_clear"), re.compile(r"\w+_free(_p)?")
# What fails where memory runs out, and for no other reason.
MEMORY_ALONE = re.compile(r"bytes_(copy|append)|form_append_(number|counted)|caller_copy|certificate_list_(add_copy|to_pem)|tpm_key_copy")
NO_MEMORY = {"ENOMEM", "GNUTLS_E_MEMORY_ERROR", "CKR_HOST_MEMORY"}
BOUND = re.compile(r"(?!U?INT\d*_MAX|S?SIZE_MAX|U?LONG_MAX)[A-Z][A-Z0-9_]*_(MAX|MIN|LIMIT|SIZE|LENGTH|COUNT)")
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)([uUlL]*)")


# Lines, as code with single spaces, that say nothing without the one before them.
COMMON = re.compile(r"(else )?if \( !?\w+( [<>=!]+ 0)? \)|return |r = 0 ;")


def tokenize(text):
    tokens, line, last = [], 1, 0
    for match in TOKEN.finditer(text):
        if match.lastgroup in ("space", "directive"):
            continue
        line += text.count("\n", last, match.start())
        last = match.start()
        tokens.append(Token(match.lastgroup, match.group(), match.start(), match.end(), line))
    return tokens


class Source:
    """One file: its tokens, and what is known of each."""

    def __init__(self, path, text):
        self.path, self.text, self.tokens = path, text, tokenize(text)
        self.lines = text.split("\n")
        self.code = {}  # line: its tokens with one space between
        for token in self.tokens:
            self.code.setdefault(token.line, []).append(token.text)
        self.code = {line: " ".join(texts) for line, texts in self.code.items()}
        self.match, self.around = {}, []  # the other bracket; the innermost open bracket around each token
        stack = []
        for i, token in enumerate(self.tokens):
            if token.text in CLOSE and token.kind == "operator":
                if not stack or OPEN[self.text_of(stack[-1])] != token.text:
                    raise ValueError(f"{path}:{token.line}: unbalanced {token.text}")
                self.match[i] = stack[-1]
                self.match[stack.pop()] = i
            self.around.append(stack[-1] if stack else None)
            if token.text in OPEN and token.kind == "operator":
                stack.append(i)
        self.function, self.returns_int, self.table = {}, set(), set()
        self.find_functions()
        self.untouched = set()
        for i, token in enumerate(self.tokens):
            if token.kind == "name" and self.text_of(i + 1) == "(" and UNTOUCHED.fullmatch(token.text):
                self.untouched.update(range(i, self.match[i + 1] + 1))

    def text_of(self, i):
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def find_functions(self):
        """Names of functions, and of tables, by token."""
        for i, token in enumerate(self.tokens):
            if token.text != "{" or self.around[i] is not None:
                continue
            j = i - 1
            if self.text_of(j) == ")":
                name = self.match[j] - 1
                k = name - 1
                while k >= 0 and self.text_of(k) not in ("}", ";"):
                    k -= 1
                head = [t.text for t in self.tokens[k + 1:name]]
                inside = range(i + 1, self.match[i])
                if "int" in head and "*" not in head:
                    self.returns_int.update(inside)
            elif self.text_of(j) == "=":
                j -= 1
                while self.text_of(j) == "]":
                    j = self.match[j] - 1
                name = j
                inside = range(i + 1, self.match[i])
                self.table.update(inside)
            else:
                continue
            self.function.update(dict.fromkeys(inside, self.text_of(name)))

    def begins_statement(self, i):
        if self.around[i] is None or self.text_of(self.around[i]) != "{":
            return False
        before = self.text_of(i - 1)
        if before == ")":
            head = self.match[i - 1] - 1
            return self.text_of(head) in ("if", "for", "while", "switch")
        return before in (";", "{", "}", "else", "do") or (before == ":" and self.text_of(i - 2) != "?")

    def statement_end(self, i):
        """The semicolon of the statement that begins at i; None if a brace comes first."""
        while i < len(self.tokens) and self.text_of(i) not in (";", "}"):
            i = self.match[i] + 1 if self.text_of(i) in OPEN else i + 1
        return i if self.text_of(i) == ";" else None

    def statement_begin(self, i):
        while i > 0 and self.text_of(i - 1) not in (";", "{", "}"):
            i -= 1
        return i

    def declares(self, i):
        """Whether the statement that begins at i is a declaration."""
        if self.text_of(i).startswith("_cleanup_"):
            return True
        qualified = self.text_of(i) in QUALIFIERS
        while self.text_of(i) in QUALIFIERS:
            i += 1
        if not 0 <= i < len(self.tokens) or self.tokens[i].kind != "name" or self.text_of(i) in KEYWORDS:
            return qualified
        i += 1
        while self.text_of(i) in ("*", "const"):
            i += 1
        return qualified or (0 <= i < len(self.tokens) and self.tokens[i].kind == "name")

    def operand(self, i, step, stops):
        """The last token of the operand that begins beside token i, leftward (step -1) or rightward (1)."""
        i += step
        while 0 <= i < len(self.tokens):
            text = self.text_of(i)
            inner = CLOSE if step < 0 else OPEN
            if text in inner and self.tokens[i].kind == "operator" and text not in ("{", "}"):
                i = self.match[i]
            elif text in EDGE or text in stops:
                break
            i += step
        return i - step

    def ends_value(self, i):
        """Whether a minus behind token i subtracts."""
        if self.text_of(i) == ")":
            inside = [t.text for t in self.tokens[self.match[i] + 1:i]]
            return not (all(re.fullmatch(r"\w+_t|int|long|unsigned|char", text) for text in inside) and inside)  # else a cast
        return self.text_of(i) == "]" or (self.tokens[i].kind in ("name", "number") and self.text_of(i) != "return")

    def head_of(self, i):
        """The opening bracket of the if that token i is in the condition of; None where there is none."""
        while i is not None and self.text_of(i - 1) != "if":
            i = self.around[i]
        return i

    def names_no_memory(self, first, last):
        """Whether among these tokens is a word for memory that ran out, by itself and not compared with something."""
        return any(t.text in NO_MEMORY and self.text_of(i - 1 - (self.text_of(i - 1) == "-")) not in RELATION
                   for i, t in enumerate(self.tokens[first:last], first))

    def says_no_memory(self, i):
        """Whether token i is in the condition of an if in which the first way out is for want of memory."""
        head = self.head_of(i)
        if head is None:
            return False
        body = self.match[head] + 1
        last = self.match[body] if self.text_of(body) == "{" else self.statement_end(body) or body
        leave = next((k for k in range(body, last) if self.text_of(k) == "return"), None)
        return leave is not None and self.names_no_memory(leave, self.statement_end(leave) or leave)

    def asks_for_no_memory(self, close):
        """Whether the condition that ends at `close` is that memory ran out, and nothing else."""
        inside = [t.text for t in self.tokens[self.match[close] + 1:close]] if self.text_of(close) == ")" else []
        return len(inside) in (3, 4) and inside[1] == "==" and inside[-1] in NO_MEMORY

    def only_frees(self, body):
        """Whether the statement at `body` is a call that frees, and nothing more."""
        is_block = self.text_of(body) == "{"
        first = body + 1 if is_block else body
        end = self.statement_end(first)
        call = callee(self, first) if end is not None else None
        return call is not None and call[1] + 1 == end and FREES.fullmatch(self.text_of(call[0])) is not None and \
            (not is_block or self.match[body] == end + 1)

    def hands_on_memory(self, i):
        """Whether the return at i is of a call of MEMORY_ALONE, or of r where `r = CALL; if (r < 0)` stands before it, or
        `r < 0 ? r : CALL` where `r = CALL;` does."""
        if self.text_of(i) != "return":
            return False
        if [self.text_of(j) for j in range(i + 1, i + 7)] == [self.text_of(i + 1), "<", "0", "?", self.text_of(i + 1), ":"]:
            call = self.match[i - 2] - 1 if self.text_of(i - 2) == ")" else i
            return all(MEMORY_ALONE.fullmatch(self.text_of(k)) for k in (call, i + 7)) and \
                [self.text_of(k) for k in (call - 2, call - 1)] == [self.text_of(i + 1), "="]
        if MEMORY_ALONE.fullmatch(self.text_of(i + 1)) and self.text_of(i + 2) == "(":
            return self.text_of(self.match[i + 2] + 1) == ";"
        name = self.text_of(i + 1)
        before = i
        while self.text_of(before - 1) == ";" and self.text_of(before - 2) == ")" and \
                FREES.fullmatch(self.text_of(self.match[before - 2] - 1)):
            before = self.statement_begin(before - 2)
        if before != i and self.text_of(before - 2) == ")" and self.text_of(i + 2) == ";":  # freed in between
            call = self.match[before - 2] - 1
            return MEMORY_ALONE.fullmatch(self.text_of(call)) is not None and \
                [self.text_of(call - 2), self.text_of(call - 1)] == [name, "="]
        if [self.text_of(j) for j in range(i - 8, i)] != [")", ";", "if", "(", name, "<", "0", ")"]:
            return False
        call = self.match[i - 8] - 1
        return MEMORY_ALONE.fullmatch(self.text_of(call)) is not None and \
            [self.text_of(call - 2), self.text_of(call - 1)] == [name, "="]

    def is_bare(self, first, last):
        """Whether an expression has no operator that another rule turns."""
        i = first
        while i <= last:
            if self.text_of(i) in RELATION or self.text_of(i) in LOGIC or self.text_of(i) in ("!", "?"):
                return False
            i = self.match[i] + 1 if self.text_of(i) in OPEN else i + 1
        return first <= last


def cut(source, first, last):
    return source.text[source.tokens[first].start:source.tokens[last].end]


# Each rule yields (first token, last token, text in their place), asked at every token of a function's body.

def checks_and_branches(source, i):
    if source.text_of(i) != "if" or source.text_of(i + 1) != "(":
        return
    end = source.match[i + 1]
    body = end + 1
    if source.says_no_memory(i + 1) or source.asks_for_no_memory(end) or source.hands_on_memory(body) or \
            source.only_frees(body):
        return
    leaves = source.text_of(body) in LEAVE
    if source.text_of(body) == "{":
        close = source.match[body]
        last = source.statement_begin(close - 1) if close - 1 > body else body
        while source.text_of(last) in ("if", "else", "while", "for"):  # a statement behind its head
            last = source.match[last + 1] + 1 if source.text_of(last + 1) == "(" else last + 1
        leaves = source.text_of(last) in LEAVE
    elif not leaves and (list(removed(source, body)) or source.text_of(body) in ("if", "for", "while")):
        return  # the same as without the call, or asked again within
    yield "check-dropped" if leaves else "branch-dropped", i + 2, end - 1, f"({cut(source, i + 2, end - 1)}) && 0"


def is_leak(source, i):
    """Whether token i is in the head of an if or a loop in which something is freed and nothing else done, without an else."""
    if FREEING.fullmatch(source.function.get(i, "")) and source.text_of(i) == "!" and source.text_of(i - 2) == "if":
        return True  # `if (!x) return NULL;` at the top of x_free
    head = i + 1 if source.text_of(i) in ("if", "while") else source.around[i]
    while head is not None and source.text_of(head - 1) not in ("if", "while", "for"):
        head = source.around[head]
    if head is None or not source.only_frees(source.match[head] + 1):
        return False
    body = source.match[head] + 1
    last = source.match[body] if source.text_of(body) == "{" else source.statement_end(body)
    return source.text_of(last + 1) != "else"


def conditions(source, i):
    text = source.text_of(i)
    if (text in RELATION or text in LOGIC or text in ("!", "?", "if", "while")) and is_leak(source, i):
        return
    if source.tokens[i].kind == "operator":
        for other in RELATION.get(text, ()):
            if {text, other} in ({"<", "<="}, {">", ">="}) and re.search("(^|_)fd$", source.text_of(i - 1)) and \
                    source.text_of(i + 1) == "0":
                continue  # a descriptor 0 does not come to pass
            yield "condition-turned", i, i, other
        if text in LOGIC:
            yield "condition-turned", i, i, LOGIC[text]
        if text == "!" and source.text_of(i - 1) != "!":
            yield "condition-turned", i, i, ""
        if text == "?" and source.text_of(i + 1) != ":":
            first = source.operand(i, -1, ())
            if source.is_bare(first, i - 1):
                yield "condition-turned", first, i - 1, f"!({cut(source, first, i - 1)})"
    elif text in ("if", "while") and source.text_of(i + 1) == "(" and source.is_bare(i + 2, source.match[i + 1] - 1):
        last = source.match[i + 1] - 1
        yield "condition-turned", i + 2, last, f"!({cut(source, i + 2, last)})"


def operands(source, i):
    text = source.text_of(i)
    if text not in LOGIC or source.tokens[i].kind != "operator" or source.says_no_memory(i) or is_leak(source, i):
        return
    stops = ("||", "&&") if text == "&&" else ("||",)
    left, right = source.operand(i, -1, stops), source.operand(i, 1, stops)
    if left > i - 1 or right < i + 1:
        return
    if source.text_of(left - 1) != text:
        yield "operand-dropped", left, i, ""
    yield "operand-dropped", i, right, ""


def is_dimension(source, i):
    """Whether this is the length of an array that is declared."""
    bracket = source.around[i]
    if bracket is None or source.text_of(bracket) != "[":
        return False
    begin = source.statement_begin(bracket)
    return source.declares(begin) and "=" not in [t.text for t in source.tokens[begin:bracket]]


def moved(token):
    """A number or a name one more and one less, as {1: text, -1: text}."""
    match = NUMBER.fullmatch(token.text) if token.kind == "number" else None
    if token.kind == "name" and BOUND.fullmatch(token.text):
        return {1: f"({token.text} + 1)", -1: f"({token.text} - 1)"}
    if not match:
        return {}
    digits, suffix = match.groups()
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    value = int(digits[2:] if base == 16 else digits, base)
    form = {16: "0x{:02x}", 8: "0{:o}", 10: "{}"}[base if value else 10]
    return {step: form.format(value + step) + suffix for step in (1, -1) if value + step >= 0}


def bounds(source, i):
    token, before, after = source.tokens[i], source.text_of(i - 1), source.text_of(i + 1)
    texts = moved(token)
    if not texts or is_dimension(source, i) or before in ("return", "case", ".", "->") or after in ("...", "("):
        return
    if source.text_of(i - 2) == "calloc":
        return  # more room than needed is no fault
    if before == "-" and not source.ends_value(i - 2):
        return  # a negative number
    if token.text == "0" and before in ASSIGN | {"(", ",", "{", "?", ":"} and after in (")", ",", ";", "}", ":"):
        return  # none, NULL or no flags
    # What is the same as another operator: i < 5 with 6 is i <= 5.
    ends = EDGE | set(LOGIC)
    if before in RELATION and after in ends:
        texts.pop({"<": 1, ">=": 1, "==": -1, "!=": -1, ">": -1, "<=": -1}[before], None)
    elif after in RELATION and before in ends:
        texts.pop({">": 1, "<=": 1, "==": -1, "!=": -1, "<": -1, ">=": -1}[after], None)
    for _, new in sorted(texts.items()):
        yield "bound-moved", i, i, new


def errors(source, i):
    if source.text_of(i) == "return" and i in source.returns_int:
        end = source.statement_end(i + 1)
        if end is None or end == i + 1 or source.hands_on_memory(i) or source.asks_for_no_memory(i - 1):
            return
        tokens = source.tokens[i + 1:end]
        if "?" not in (t.text for t in tokens) and source.names_no_memory(i + 1, end):
            return
        single = len(tokens) == 1 or (len(tokens) == 2 and tokens[0].text == "-" and tokens[1].kind == "name")
        if single:
            if tokens[-1].kind == "name" and tokens[-1].text not in ("true", "false", "ENOMEM"):
                yield "error-made-0", i + 1, end - 1, "0"
        elif any(t.text in ("(", "-") for t in tokens):
            yield "error-made-0", i + 1, end - 1, f"((void) ({cut(source, i + 1, end - 1)}), 0)"
    elif source.text_of(i) == "=" and source.text_of(i + 1) == "-" and source.text_of(i + 3) == ";" and \
            re.fullmatch(r"(?!ENOMEM)E[A-Z0-9]+|errno", source.text_of(i + 2)):
        yield "error-made-0", i + 1, i + 2, "0"


def callee(source, i):
    """Of `f(…)` at i, also `a->f(…)` and `(void) f(…)`: the name's token and the closing bracket; else None."""
    if [source.text_of(j) for j in range(i, i + 3)] == ["(", "void", ")"]:
        i += 3
    while source.tokens[i].kind == "name" and source.text_of(i + 1) in ("->", "."):
        i += 2
    if source.tokens[i].kind != "name" or source.text_of(i) in KEYWORDS or source.text_of(i + 1) != "(":
        return None
    return i, source.match[i + 1]


def removed(source, i):
    if source.text_of(i) in OPEN and source.text_of(i) != "(" or not source.begins_statement(i):
        return
    end = source.statement_end(i)
    call = callee(source, i) if end is not None else None
    if end is None:
        return
    if call and call[1] + 1 == end:
        name = source.text_of(call[0])
        goes = CLEARS.fullmatch(name) and FREEING.fullmatch(source.function.get(i, ""))
        if call[0] not in source.untouched and not FREES.fullmatch(name) and not goes and \
                not source.names_no_memory(i, end):
            yield "call-removed", i, end, "{}"
        return
    begin = i + 1 if source.text_of(i) == "int" else i
    if source.text_of(begin) == "r" and source.text_of(begin + 1) == "=":
        call = callee(source, begin + 2)
        if call and call[1] + 1 == end:
            yield "call-removed", begin + 2, call[1], "0"
        return
    if source.text_of(i) in KEYWORDS or source.declares(i):
        return
    i_of = [k for k in range(i, end) if source.around[k] == source.around[i] and source.text_of(k) in ASSIGN]
    left = [t.text for t in source.tokens[i:i_of[0]]] if i_of else []
    if left and (left[0] == "*" or "->" in left or "." in left or "[" in left):
        yield "assignment-removed", i, end, "{}"
    elif not i_of and {"++", "--"} & {source.text_of(i), source.text_of(end - 1)}:
        yield "assignment-removed", i, end, "{}"


def booleans(source, i):
    if source.text_of(i) in ("true", "false"):
        yield "boolean-flipped", i, i, "false" if source.text_of(i) == "true" else "true"


IN_BODIES = (checks_and_branches, conditions, operands, bounds, errors, removed, booleans)
IN_TABLES = (booleans,)


def short(path):
    """Folder and file: what stays when a room moves as a whole."""
    return "/".join(path.split("/")[-2:])


def squeeze(text):
    return " ".join(text.split())


def describe(source, start, end, new):
    """The changed lines before and after, each as one line."""
    first, last = source.text.rfind("\n", 0, start) + 1, source.text.find("\n", end)
    last = len(source.text) if last < 0 else last
    return squeeze(source.text[first:last]), squeeze(source.text[first:start] + new + source.text[end:last])


def mutants_of(path, text):
    """All mutants of a file, in the order of its text. An id names folder and file, function, rule, and by a hash the line:
    its code alone where that says something and the function has it once, else with the line of code before it, so that an
    id does not come to mean another line unnoticed. Last is the number of the change among those with the same hash."""
    source = Source(path, text)
    before = dict(zip(sorted(source.code)[1:], sorted(source.code)))
    lines = Counter()  # how often a function has a line
    for line, function in sorted({(t.line, source.function[i]) for i, t in enumerate(source.tokens) if i in source.function}):
        lines[function, source.code[line]] += 1
    seen, found = Counter(), []
    for i, token in enumerate(source.tokens):
        function = source.function.get(i)
        if function is None or i in source.untouched:
            continue
        for rule in IN_TABLES if i in source.table else IN_BODIES:
            for name, first, last, new in rule(source, i):
                code = source.code[token.line]
                if lines[function, code] > 1 or COMMON.match(code):
                    code = source.code.get(before.get(token.line), "") + "\n" + code
                base = f"{short(path)}:{function}:{name}:{hashlib.sha256(code.encode()).hexdigest()[:8]}"
                seen[base] += 1
                start, end = source.tokens[first].start, source.tokens[last].end
                if not new and first < last and first == i:  # an operator with what follows: no space stays before it
                    start = source.tokens[first - 1].end
                elif not new and first < last:  # what comes before, with the operator
                    end = source.tokens[last + 1].start
                was, becomes = describe(source, start, end, new)
                found.append(Mutant(f"{base}.{seen[base]}", path, token.line, function, name, start, end, new, was, becomes))
    return found


def is_source(path):
    parts = path.split("/")
    return path.endswith(".c") and len(parts) > 1 and parts[0] != "tests" and "examples" not in parts


def room_of(path):
    return os.path.dirname(path)
