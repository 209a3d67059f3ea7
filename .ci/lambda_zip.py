"""Packs a bootstrap into a zip for Lambda, and checks what it wrote. The zip depends only on the
bootstrap: its time and its permissions are fixed.

Arguments: the bootstrap, the architecture, the zip.
"""

import struct
import sys
import zipfile

# What an ELF file says of its machine (ELF specification, e_machine), by Lambda's names.
MACHINES = {"arm64": 0xB7, "x86_64": 0x3E}
# A regular file that everyone may read and run: Lambda runs it as another user.
MODE = 0o100755
# The earliest time that a zip can state.
TIME = (1980, 1, 1, 0, 0, 0)


def pack(bootstrap, path):
    entry = zipfile.ZipInfo("bootstrap", TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, or the mode would not count
    entry.external_attr = MODE << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(entry, bootstrap, compresslevel=9)


def check(path, architecture):
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
        names = [entry.filename for entry in entries]
        if names != ["bootstrap"]:
            sys.exit(f"{path} contains {names} instead of one `bootstrap`")
        mode = entries[0].external_attr >> 16
        if mode != MODE:
            sys.exit(f"the mode of {path}'s bootstrap is {mode:o} instead of {MODE:o}")
        start = file.read("bootstrap")[:20]
    if start[:4] != b"\x7fELF":
        sys.exit(f"{path}'s bootstrap is not an ELF file")
    (machine,) = struct.unpack_from("<H", start, 18)
    if machine != MACHINES[architecture]:
        sys.exit(f"{path}'s bootstrap is for machine {machine:#x} and not for {architecture}")


if __name__ == "__main__":
    _, source, architecture, path = sys.argv
    with open(source, "rb") as file:
        pack(file.read(), path)
    check(path, architecture)
