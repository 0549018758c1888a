# SPDX-License-Identifier: Apache-2.0
"""Status words: ISO 7816-4 where ISO has one, 94xx for the purse's own (protocol section 4).

A number is never reused. `is_final` says whether the same command may succeed later.
"""

OK = 0x9000
MORE_DATA = 0x6100  # 61xx: xx bytes wait for GET RESPONSE (00 for 256 or more)
TRIES_LEFT = 0x63C0  # 63Cx: x tries are left
MEMORY_FAILURE = 0x6581
WRONG_LENGTH = 0x6700
CHANNEL_NOT_SUPPORTED = 0x6881
CHAINING_NOT_SUPPORTED = 0x6884
NOT_AUTHENTICATED = 0x6982
BLOCKED = 0x6983
CONDITIONS_NOT_MET = 0x6985
SECURE_MESSAGING_MISSING = 0x6987
SECURE_MESSAGING_WRONG = 0x6988
WRONG_DATA = 0x6A80
NO_SPACE = 0x6A84
WRONG_P1P2 = 0x6A86
NOT_FOUND = 0x6A88
UNKNOWN_INSTRUCTION = 0x6D00
UNKNOWN_CLASS = 0x6E00
FAILURE = 0x6F00

INSUFFICIENT_FUNDS = 0x9401
OVER_PAYMENT_LIMIT = 0x9402
OFFLINE_TOTAL = 0x9403
OFFLINE_COUNT = 0x9404
SYNC_OVERDUE = 0x9405
PURPOSE_NOT_ACCEPTED = 0x9406
WRONG_CURRENCY = 0x9407
PAYEE_CERTIFICATE = 0x9408
JOURNAL_FULL = 0x9409
HOP_LIMIT = 0x940A
EXPIRED = 0x940B
NOT_SPENDABLE_OFFLINE = 0x940C
OVER_BALANCE_LIMIT = 0x940D
COUNTER_EXHAUSTED = 0x940E
BANNED = 0x940F

_FINAL = True
_RETRY = False

# word: (what it says to the people at the till, whether it is final for this payment)
MEANINGS = {
    OK: ("done", _FINAL),
    MEMORY_FAILURE: ("the memory of the card failed", _RETRY),
    WRONG_LENGTH: ("the command has a wrong length", _FINAL),
    CHANNEL_NOT_SUPPORTED: ("logical channels are not supported", _FINAL),
    CHAINING_NOT_SUPPORTED: ("the command cannot be chained", _FINAL),
    NOT_AUTHENTICATED: ("the PIN is needed first", _RETRY),
    BLOCKED: ("the PIN is blocked; unblock it with the PUK", _RETRY),
    CONDITIONS_NOT_MET: ("the card is not in a state that allows this", _FINAL),
    SECURE_MESSAGING_MISSING: ("a secure channel is needed", _FINAL),
    SECURE_MESSAGING_WRONG: ("the secure channel was broken", _FINAL),
    WRONG_DATA: ("the card refuses the data of the command", _FINAL),
    NO_SPACE: ("the card has no room left for this", _RETRY),
    WRONG_P1P2: ("the command has wrong parameters", _FINAL),
    NOT_FOUND: ("the card does not know what the command refers to", _FINAL),
    UNKNOWN_INSTRUCTION: ("the card does not know this command", _FINAL),
    UNKNOWN_CLASS: ("the card does not know this class of commands", _FINAL),
    FAILURE: ("the card failed inside", _RETRY),
    INSUFFICIENT_FUNDS: ("not enough money on the card", _RETRY),
    OVER_PAYMENT_LIMIT: ("the amount is over the limit for one payment", _FINAL),
    OFFLINE_TOTAL: ("the limit for offline payments is used up; sync the card", _RETRY),
    OFFLINE_COUNT: ("too many offline payments; sync the card", _RETRY),
    SYNC_OVERDUE: ("the card has been offline for too long; sync it", _RETRY),
    PURPOSE_NOT_ACCEPTED: ("this money may not be spent here", _FINAL),
    WRONG_CURRENCY: ("the card holds another currency", _FINAL),
    PAYEE_CERTIFICATE: ("the card does not trust this till", _FINAL),
    JOURNAL_FULL: ("the card's journal is full; sync the card", _RETRY),
    HOP_LIMIT: ("this money has changed hands too often; sync the card", _RETRY),
    EXPIRED: ("the money on the card has expired; sync the card", _RETRY),
    NOT_SPENDABLE_OFFLINE: ("this money can only be synced, not spent offline", _RETRY),
    OVER_BALANCE_LIMIT: ("the card may not hold so much", _RETRY),
    COUNTER_EXHAUSTED: ("the card's counter is at its end; the bank must replace it", _FINAL),
    BANNED: ("the bank has switched this off", _RETRY),
}


class Refusal(Exception):
    """A command is refused with this status word; nothing has changed."""

    def __init__(self, word: int) -> None:
        super().__init__(word)
        self.word = word

    def __str__(self) -> str:
        return "%04X %s" % (self.word, sentence(self.word))


def sentence(word: int) -> str:
    """What `word` says, for people."""
    if word & 0xFFF0 == TRIES_LEFT:
        return "wrong PIN, " + tries_left(word)
    if word & 0xFF00 == MORE_DATA:
        return "there is more data"
    return MEANINGS.get(word, ("unknown status word", _FINAL))[0]


def tries_left(word: int) -> str:
    """How many tries a 63Cx says are left, for people."""
    count = word & 0x0F
    return "1 try left" if count == 1 else "%d tries left" % count


def is_final(word: int) -> bool:
    """Whether repeating the same command can never succeed. Unknown words are final."""
    if word & 0xFFF0 == TRIES_LEFT:
        return False
    return MEANINGS.get(word, ("", _FINAL))[1]
