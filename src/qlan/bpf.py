"""The classic BPF machine (bpf(4) of the BSDs, linux/filter.h), for frames that no kernel of ours has seen.

Accumulator, index register, 16 words of memory; a frame is kept if the program returns anything but 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant

_CLASS, _SIZE, _MODE, _OP, _BY_INDEX = 0x07, 0x18, 0xE0, 0xF0, 0x08
_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET = range(7)
_IMM, _ABS, _IND, _MEM, _LEN, _MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_BYTES = {0x00: 4, 0x08: 2, 0x10: 1}
_RET_A, _TAX = 0x10, 0x00
_WORD = 0xFFFFFFFF
_COMPARE: dict[int, Callable[[int, int], bool]] = {0x10: operator.eq, 0x20: operator.gt, 0x30: operator.ge,
                                                   0x40: lambda a, b: bool(a & b)}  # fmt: skip
_COMPUTE: dict[int, Callable[[int, int], int]] = {
    0x00: operator.add, 0x10: operator.sub, 0x20: operator.mul, 0x30: operator.floordiv, 0x40: operator.or_,
    0x50: operator.and_, 0x60: lambda a, b: a << (b & 63), 0x70: lambda a, b: a >> (b & 63), 0x90: operator.mod,
    0xA0: operator.xor,
}  # fmt: skip
_NEG = 0x80


def accepts(program: Sequence[Instruction], frame: bytes, length: int) -> bool:
    """Whether the program keeps the frame; length: on the wire.  An empty program keeps all."""
    return not program or bool(_Machine(frame, length).run(program))


class _Machine:
    def __init__(self, frame: bytes, length: int) -> None:
        self.frame = frame
        self.length = length
        self.a = self.x = 0
        self.memory = [0] * 16

    def run(self, program: Sequence[Instruction]) -> int:
        """What it returns; a load from beyond the frame's end, or a division by zero, is 0."""
        at = 0
        try:
            while True:
                code, yes, no, constant = program[at]
                at += 1
                kind = code & _CLASS
                if kind == _RET:
                    return self.a if code & 0x18 == _RET_A else constant
                if kind == _JMP:
                    at += self._jump(code, yes, no, constant)
                else:
                    self._step(kind, code, constant)
        except (IndexError, ZeroDivisionError):
            return 0

    def _jump(self, code: int, yes: int, no: int, constant: int) -> int:
        if code & _OP == 0:
            return constant
        return yes if _COMPARE[code & _OP](self.a, self._operand(code, constant)) else no

    def _step(self, kind: int, code: int, constant: int) -> None:
        if kind == _LD:
            self.a = self._load(code, constant)
        elif kind == _LDX:
            self.x = self._load(code, constant)
        elif kind == _ST:
            self.memory[constant] = self.a
        elif kind == _STX:
            self.memory[constant] = self.x
        elif kind == _ALU:
            self.a = self._compute(code, constant)
        elif code & _OP == _TAX and not code & 0x80:
            self.x = self.a
        else:
            self.a = self.x

    def _operand(self, code: int, constant: int) -> int:
        return self.x if code & _BY_INDEX else constant

    def _compute(self, code: int, constant: int) -> int:
        if code & _OP == _NEG:
            return -self.a & _WORD
        return _COMPUTE[code & _OP](self.a, self._operand(code, constant)) & _WORD

    def _load(self, code: int, constant: int) -> int:
        mode = code & _MODE
        if mode == _IMM:
            return constant
        if mode == _MEM:
            return self.memory[constant]
        if mode == _LEN:
            return self.length
        if mode == _MSH:
            return 4 * (self._bytes(constant, 1) & 0xF)
        return self._bytes(constant + (self.x if mode == _IND else 0), _BYTES[code & _SIZE])

    def _bytes(self, start: int, count: int) -> int:
        if start + count > len(self.frame):
            raise IndexError
        return int.from_bytes(self.frame[start : start + count])
