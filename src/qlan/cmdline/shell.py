"""Shell text as people paste it: commands as words that know where they stood, and words as shell text again.

Only what is needed to find the words is understood: quotes, backslashes, comments, `;` `&` `|` between commands.
`$NAME`, `$(...)` and backticks stay in the word as they are.  Beyond the shell's own rules, a backslash before trailing
blanks or a comment still continues the line, and prompts at the start of a line are passed over: both are common in
tutorials, and a shell would break the command there.
"""

from __future__ import annotations

import re

from qlan.values import Value

_PROMPT = re.compile(
    r"[ \t]*(?:\([\w.-]+\)[ \t]*)?"
    r"(?:\[?[\w.-]+@[\w.-]+[ :][^\n$#%>]*\]?[$#%>]|[$%]"
    r"|#(?=[ \t]+(?:sudo[ \t]+|[\w./-]*/)?(?:qemu|kvm)[\w./-]*[ \t]))[ \t]+"
)
_CONTINUED_PROMPT = re.compile(r"[ \t]*>[ \t]")
_CONTINUATION = re.compile(r"\\[ \t]*(?:#[^\n]*)?\r?\n")
_COMMENT_LINE = re.compile(r"[ \t]*#[^\n]*\n")
_COMMENT = re.compile(r"#[^\n]*")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_REDIRECTION = re.compile(r"\d*(?:>>?|<<?<?|>&|&>>?)")
_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)
_VARIABLE = re.compile(r"\$(?:\{[^}]*\}|\w+|[@*#?$!-])")


class Word(Value):
    """One word.  text: after the shell's quotes, `$...` kept.  source: as written ("" for a word of ours).

    start: offset of the source in the whole text, from 0.  expands: the shell would put something in place of a part.
    columns: where each letter of `text` stood, if not simply start, start + 1, ...
    """

    text: str
    source: str = ""
    start: int = 0
    expands: bool = False
    columns: tuple[int, ...] = ()

    def offset(self, index: int) -> int:
        """Where the letter `index` of `text` stood in the whole text."""
        if not self.columns:
            return self.start + index
        return self.columns[index] if index < len(self.columns) else self.columns[-1] + 1


class Command(Value):
    """One simple command.  before: assignments and `sudo`-like words in front.  after: redirections."""

    words: tuple[Word, ...]
    before: tuple[Word, ...] = ()
    after: tuple[Word, ...] = ()


class BadShell(ValueError):
    """A quote or parenthesis that is not closed.  offset: where it was opened."""

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


def split_shell(text: str) -> tuple[Command, ...]:
    """The commands of a text, in order.  Raises BadShell."""
    scanner = _Scanner(text)
    groups: list[list[Word]] = [[]]
    while (item := scanner.next_item()) is not None:
        if isinstance(item, Word):
            groups[-1].append(item)
        else:
            groups.append([])
    return tuple(_command(group) for group in groups if group)


def quote(text: str) -> str:
    """A word as shell text.  Single quotes where any are needed."""
    if _SAFE.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def quote_word(word: Word) -> str:
    """As it was written, if it was; a word of ours with `$...` in it stays open to the shell."""
    if word.source:
        return word.source
    if not word.expands:
        return quote(word.text)
    escaped = re.sub(r'([\\"])', r"\\\1", word.text)
    return f'"{escaped}"' if re.search(r"[^\w@%+=:,./$(){}-]", word.text) else word.text


def words_of(argv: list[str] | tuple[str, ...]) -> tuple[Word, ...]:
    """Words for an argument list; columns count as in the list joined by the shell's rules."""
    found: list[Word] = []
    at = 0
    for text in argv:
        source = quote(text)
        columns: tuple[int, ...] = ()
        if source != text:
            columns = _quoted_columns(text, at)
        found.append(Word(text, source, at, columns=columns))
        at += len(source) + 1
    return tuple(found)


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def has_variable(text: str) -> bool:
    """Whether the text of an expanding word holds something that only the shell knows."""
    return "$" in text or "`" in text


def _quoted_columns(text: str, at: int) -> tuple[int, ...]:
    found: list[int] = []
    column = at + 1
    for letter in text:
        found.append(column)
        column += 5 if letter == "'" else 1
    return tuple(found) or (at,)


def _command(group: list[Word]) -> Command:
    first = 0
    while first < len(group) and _ASSIGNMENT.match(group[first].source):
        first += 1
    before, words, after = group[:first], [], []
    index = first
    while index < len(group):
        hit = _REDIRECTION.match(group[index].source)
        if hit:
            alone = hit.end() == len(group[index].source)
            after += group[index : index + (2 if alone else 1)]
            index += 2 if alone else 1
        else:
            words.append(group[index])
            index += 1
    return Command(tuple(words), tuple(before), tuple(after))


class _Scanner:
    """Reads items: a Word, or "" for the end of a command."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.begins = True  # where a command would
        self._skip_prompt(_PROMPT)

    def next_item(self) -> Word | str | None:
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter in " \t\r":
                self.at += 1
            elif hit := _CONTINUATION.match(self.text, self.at):
                self.at = hit.end()
                self._after_continuation()
            elif letter == "#":
                self.at = self._end(_COMMENT)
            elif letter == "\n":
                self.at += 1
                self._skip_prompt(_PROMPT)
                self.begins = True
                return ""
            elif self._is_separator(letter):
                self.at += 1
                self.begins = True
                return ""
            else:
                self.begins = False
                return self._word()
        return None

    def _is_separator(self, letter: str) -> bool:
        after = self.text[self.at + 1 : self.at + 2]
        if letter in "{}":
            return self.begins and after in ("", " ", "\t", "\n", ";")
        return letter in ";|()" or (letter == "&" and after != ">")

    def _after_continuation(self) -> None:
        """Comment lines between continued lines belong to the tutorial, not to the shell."""
        self._skip_prompt(_CONTINUED_PROMPT)
        while hit := _COMMENT_LINE.match(self.text, self.at):
            self.at = hit.end()
            self._skip_prompt(_CONTINUED_PROMPT)

    def _skip_prompt(self, prompt: re.Pattern[str]) -> None:
        self.at = self._end(prompt)

    def _end(self, pattern: re.Pattern[str]) -> int:
        hit = pattern.match(self.text, self.at)
        return hit.end() if hit else self.at

    def _word(self) -> Word:
        start, letters, columns, expands = self.at, [], [], False
        if hit := _REDIRECTION.match(self.text, self.at):
            self.at = hit.end()
            if self.text[self.at : self.at + 1] == "&":
                self.at += 1
            return Word(self.text[start : self.at] + self._bare(), self.text[start : self.at], start)
        while self.at < len(self.text) and self.text[self.at] not in " \t\r\n;|&()<>":
            piece, places, grows = self._piece()
            letters.append(piece)
            columns += places
            expands = expands or grows
        text, source = "".join(letters), self.text[start : self.at]
        return Word(text, source, start, expands, () if text == source else tuple(columns) or (start,))

    def _bare(self) -> str:
        """The target of a redirection that follows without a blank."""
        begin = self.at
        while self.at < len(self.text) and self.text[self.at] not in " \t\r\n;|&()<>":
            self.at += 1
        return self.text[begin : self.at]

    def _piece(self) -> tuple[str, list[int], bool]:
        letter, at = self.text[self.at], self.at
        if letter == "'":
            return self._single()
        if letter == '"':
            return self._double()
        if letter == "\\":
            if hit := _CONTINUATION.match(self.text, at):
                self.at = hit.end()
                return "", [], False
            self.at += 2
            return self.text[at + 1 : at + 2], [at + 1], False
        if letter in "$`":
            return self._expansion()
        self.at += 1
        return letter, [at], False

    def _single(self) -> tuple[str, list[int], bool]:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise BadShell("a quote ' is not closed", self.at)
        begin, self.at = self.at + 1, end + 1
        return self.text[begin:end], list(range(begin, end)), False

    def _double(self) -> tuple[str, list[int], bool]:
        opened, letters, places, expands = self.at, [], [], False
        self.at += 1
        while self.text[self.at : self.at + 1] != '"':
            if self.at >= len(self.text):
                raise BadShell('a quote " is not closed', opened)
            at = self.at
            if self.text[at] == "\\" and self.text[at + 1 : at + 2] in ('"', "\\", "$", "`", "\n"):
                self.at += 2
                if self.text[at + 1] != "\n":
                    letters.append(self.text[at + 1])
                    places.append(at + 1)
            elif self.text[at] in "$`":
                piece, more, grows = self._expansion()
                letters.append(piece)
                places += more
                expands = expands or grows
            else:
                self.at += 1
                letters.append(self.text[at])
                places.append(at)
        self.at += 1
        return "".join(letters), places, expands

    def _expansion(self) -> tuple[str, list[int], bool]:
        """`$NAME`, `${...}`, `$(...)`, backticks: taken as they are."""
        begin = self.at
        if self.text.startswith("$(", begin):
            self.at = self._closing(begin)
        elif self.text[begin] == "`":
            end = self.text.find("`", begin + 1)
            if end < 0:
                raise BadShell("a backtick is not closed", begin)
            self.at = end + 1
        elif hit := _VARIABLE.match(self.text, begin):
            self.at = hit.end()
        else:
            self.at += 1
            return "$", [begin], False
        return self.text[begin : self.at], list(range(begin, self.at)), True

    def _closing(self, begin: int) -> int:
        depth = 0
        for at in range(begin + 1, len(self.text)):
            if self.text[at] == "(":
                depth += 1
            elif self.text[at] == ")":
                depth -= 1
                if depth == 0:
                    return at + 1
        raise BadShell("$( is not closed", begin)
