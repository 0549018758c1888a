# SPDX-License-Identifier: Apache-2.0
"""The commands of an ATECC608 that are used here, their modes, and how long each may take.

Microchip ATECC508A/608A data sheets, sections "Device Commands" and "Command Execution Times".
"""

READ = 0x02
WRITE = 0x12
NONCE = 0x16
LOCK = 0x17
RANDOM = 0x1B
COUNTER = 0x24
INFO = 0x30
GENKEY = 0x40
SIGN = 0x41
VERIFY = 0x45

# The longest that each may take, in ms, with the clock divider of `atecc608_plan` (none).
MAX_MS = {
    READ: 5,
    WRITE: 45,
    NONCE: 20,
    LOCK: 35,
    RANDOM: 23,
    COUNTER: 25,
    INFO: 5,
    GENKEY: 115,
    SIGN: 115,
    VERIFY: 105,
}

INFO_REVISION = 0
INFO_KEY_VALID = 1
NONCE_PASS_THROUGH = 0x03
RANDOM_SEED_IF_NEEDED = 0
GENKEY_PUBLIC = 0x00
GENKEY_CREATE = 0x04
SIGN_EXTERNAL = 0x80
VERIFY_EXTERNAL = 0x02
FROM_DIGEST_BUFFER = 0x20  # of SIGN and VERIFY; without it, from TempKey
P256 = 0x0004
COUNTER_READ = 0
COUNTER_INCREMENT = 1
WHOLE_BLOCK = 0x80
LOCK_CONFIG = 0x00
LOCK_DATA = 0x01
LOCK_SLOT = 0x02  # never looks at a CRC, so that the bit below is left out
LOCK_UNSEEN = 0x80  # without a CRC of the contents
