# A peer that uses Python's own SQLite: PATH WRITER BEGUN. It writes one
# transaction after the other and tells of them as the other children do.
import os, sqlite3, sys

path, writer, seq = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def tell(text):
    os.write(1, b"%d %s\n" % (len(text), text.encode()))


db = sqlite3.connect(path, timeout=30, isolation_level=None)
db.execute("PRAGMA synchronous=FULL")
tell("open")
while True:
    seq += 1
    parts = 1 + seq % 5
    tell(f"b {writer} {seq}")
    try:
        db.execute("BEGIN IMMEDIATE")
        for part in range(parts):
            db.execute(
                "INSERT INTO entry(writer, seq, part, parts, body) VALUES (?, ?, ?, ?, ?)",
                (writer, seq, part, parts, f"peer {writer} {seq} {part}"),
            )
        db.execute("COMMIT")
    except sqlite3.Error as e:
        tell(f"u {writer} {seq} {e}")
        raise
    tell(f"a {writer} {seq}")
