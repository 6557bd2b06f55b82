"""Telnet's commands, taken out of a stream of bytes (RFC 854, 855, 1184).

A telnet client puts sequences that begin with the byte 255 (IAC) between the lines:
offers and requests of options, above all. A client that never uses telnet's protocol
sends none, because 255 does not occur in UTF-8; so the filter stands before every text
connection, and the server itself sends nothing but the refusals that it collects.
"""

from typing import Final

_IAC: Final = 255
_IAC_BYTE: Final = b"\xff"
_DONT: Final = 254
_DO: Final = 253
_WONT: Final = 252
_WILL: Final = 251
_SB: Final = 250
_SE: Final = 240
_EOF: Final = 236  # also the lowest byte that is a command (RFC 1184)

_ECHO: Final = 1  # RFC 857

_REFUSALS: Final = {_WILL: _DONT, _DO: _WONT}

MAX_REFUSALS: Final = 64
"""How many requests of one connection are answered, lest a flood make a flood."""


# The states: what the bytes so far were. Plain numbers, because the loop that compares
# them is what a flood of sequences would keep busy.
_DATA: Final = 0
_COMMAND: Final = 1  # IAC
_OPTION: Final = 2  # IAC and WILL, WONT, DO or DONT
_SUBNEGOTIATION: Final = 3  # IAC SB
_SUBNEGOTIATION_COMMAND: Final = 4  # IAC in a subnegotiation


class TelnetFilter:
    """The telnet side of one connection: bytes in, bytes without commands out.

    Sequences may be split anywhere between calls of `feed`. What is kept between them
    does not grow, however long a sequence is.

    Only what is a command is taken out. The byte 255 before a byte that is none (under
    236) stays in the data: it is text in another encoding then, and must be refused as
    such, not delivered with two bytes missing.
    """

    __slots__ = (
        "_echoing",
        "_refusals_left",
        "_replies",
        "_state",
        "_verb",
        "input_ended",
        "spoken",
    )

    def __init__(self) -> None:
        self.input_ended = False
        """Whether the client said that nothing follows (IAC EOF, as PuTTY does)."""
        self.spoken = False
        """Whether the client has used telnet's protocol at all."""
        self._echoing = False
        self._state = _DATA
        self._verb = 0
        self._replies = b""
        self._refusals_left = MAX_REFUSALS

    @property
    def in_sequence(self) -> bool:
        """Whether the data so far ends within a sequence.

        At the end of the input it means that something was cut off, or that a
        subnegotiation without an end has swallowed the rest.
        """
        return self._state != _DATA

    def feed(self, data: bytes) -> bytes:
        """Return `data` without telnet's commands: the same object if it has none.

        Nothing that follows the end of the input is returned.
        """
        if self.input_ended:
            return b""
        state = self._state
        if state == _DATA and _IAC_BYTE not in data:
            return data
        kept = bytearray()
        position = 0
        size = len(data)
        while position < size:
            if state == _DATA:
                end = data.find(_IAC_BYTE, position)
                if end < 0:
                    kept += data[position:]
                    break
                if end > position:
                    kept += data[position:end]
                position = end + 1
                state = _COMMAND
                continue
            if state == _SUBNEGOTIATION:
                end = data.find(_IAC_BYTE, position)
                if end < 0:
                    break
                position = end + 1
                state = _SUBNEGOTIATION_COMMAND
                continue
            byte = data[position]
            position += 1
            if state == _OPTION:
                self.spoken = True
                self._refuse(byte)
                state = _DATA
            # In a subnegotiation too, any command ends it, as in BSD's telnetd: RFC 855
            # knows only SE there, and to wait for it could swallow all that follows.
            elif (state == _SUBNEGOTIATION_COMMAND and byte == _IAC) or byte == _SB:
                state = _SUBNEGOTIATION
            elif _WILL <= byte <= _DONT:
                self._verb = byte
                state = _OPTION
            else:
                state = _DATA
                if byte == _IAC:
                    kept += _IAC_BYTE
                elif byte == _EOF:
                    self.input_ended = True
                    break  # whatever follows, in this packet or another
                elif byte < _EOF:
                    kept += bytes((_IAC, byte))
        self._state = state
        return bytes(kept)

    def take_replies(self) -> bytes:
        """Return what to send to the client now, and forget it."""
        replies, self._replies = self._replies, b""
        return replies

    def hide_input(self) -> bytes:
        """Return what lets the client show no more what is typed, where it can be told.

        To say that the server echoes, and not to do so, is how that is done; to one
        that does not speak telnet it would be garbage on a screen.
        """
        if not self.spoken:
            return b""
        self._echoing = True
        return bytes((_IAC, _WILL, _ECHO))

    def show_input(self) -> bytes:
        """Return what ends that, with the line end that was typed and not shown."""
        if not self._echoing:
            return b""
        self._echoing = False
        return bytes((_IAC, _WONT, _ECHO)) + b"\n"

    def _refuse(self, option: int) -> None:
        if self._echoing and self._verb == _DO and option == _ECHO:
            return  # agreed
        # WONT and DONT are not answered: that is already how things are, and answers
        # to answers would never end (RFC 854).
        refusal = _REFUSALS.get(self._verb)
        if refusal is not None and self._refusals_left > 0:
            self._refusals_left -= 1
            self._replies += bytes((_IAC, refusal, option))
