"""Does one job of the benchmark with robust_database_manager.

    python3 load.py JOB

JOB is JSON. The process opens the database, warms up and prints "ready", waits
for a line on its standard input, does the job, and prints what it did as one
line of JSON.
"""

import json
import os
import random
import resource
import sys
import threading
import time

from robust_database_manager import RobustDatabaseManager

SELECT_ITEM = "SELECT name, qty, price FROM item WHERE id = ?"
SELECT_ITEMS = "SELECT id, name, qty, price FROM item"
INSERT_ENTRY = "INSERT INTO entry(worker, seq, body) VALUES (?, ?, ?)"
BODY = "forty bytes of text, as a note could be."
NAME_BYTES = 13


class Refused(Exception):
    """An operation that returned False."""


class Wrong(Exception):
    """An answer that is not the right one; it ends the job."""


def bucket(ns):
    """The histogram's bucket of a duration, as the benchmark has it."""
    if ns < 32:
        return ns
    shift = ns.bit_length() - 6
    return shift * 32 + (ns >> shift)


class Histogram:
    def __init__(self):
        self.counts = {}
        self.max = 0

    def add(self, ns):
        i = bucket(ns)
        self.counts[i] = self.counts.get(i, 0) + 1
        if ns > self.max:
            self.max = ns

    def merge(self, other):
        for i, n in other.counts.items():
            self.counts[i] = self.counts.get(i, 0) + n
        self.max = max(self.max, other.max)

    def divided(self, by):
        short = Histogram()
        short.max = self.max // by
        for i, n in self.counts.items():
            shift = i // 32 - 1
            ns = i if i < 32 else (32 + i % 32) << shift
            j = bucket(ns // by)
            short.counts[j] = short.counts.get(j, 0) + n
        return short

    def tell(self):
        return {"max_ns": self.max, "buckets": [[i, n] for i, n in sorted(self.counts.items())]}


class Worker:
    """One thread and what it has done."""

    def __init__(self, job, db, number):
        self.job, self.db, self.number = job, db, number
        self.random = random.Random(number)
        self.seq = self.rows = self.sum = self.failed = self.warm_failed = 0
        self.wrong = None
        self.forget()
        n = job["rows"] if job["operation"] == "scan" else 0
        self.scanned = (n, n * (n + 1) // 2, sum(i * 7 % 1000 for i in range(1, n + 1)), n * NAME_BYTES, n * (n + 1) / 8)

    def forget(self):
        """What was done so far counts no longer, but for what is in the database."""
        self.warm_failed += self.failed
        self.done = self.failed = 0
        self.first_error = ""
        self.rate = 0.0
        self.latency, self.reads = Histogram(), Histogram()

    def get(self):
        key = self.random.randint(1, self.job["rows"])
        row = self.db.execute_query(SELECT_ITEM, (key,))
        if len(row) != 3 or row[1] != key * 7 % 1000 or row[2] != key / 4 or len(row[0]) != NAME_BYTES:
            raise Wrong(f"item {key} was read wrong")

    def insert(self):
        self.seq += 1
        if not self.db.execute_transaction([(INSERT_ENTRY, (self.number, self.seq, BODY))]):
            raise Refused("execute_transaction returned False")
        self.rows += 1
        self.sum += self.seq

    def mix(self):
        if self.random.randrange(10) == 0:
            self.insert()
            return
        begin = time.perf_counter_ns()
        self.get()
        self.reads.add(time.perf_counter_ns() - begin)

    def scan(self):
        rows = self.db.execute_query(SELECT_ITEMS)
        ids = qty = name_bytes = 0
        price = 0.0
        for row in rows:
            ids += row[0]
            name_bytes += len(row[1])
            qty += row[2]
            price += row[3]
        if (len(rows), ids, qty, name_bytes, price) != self.scanned:
            raise Wrong("the scan did not see all rows as they are")

    def lease(self):
        manager = self.db.lock_manager
        for _ in range(100):
            manager.return_connection(manager.get_connection())

    def run(self, line, started):
        """Works for the warm-up's time, meets the others, and works for what counts."""
        if self.job["warm_ns"] > 0:
            start = time.perf_counter_ns()
            self.work(start, start + self.job["warm_ns"])
            self.forget()
        line.wait()  # until all are warm
        line.wait()  # until it begins
        if not self.wrong:
            start = started[0]  # for all the same, whoever comes first
            self.work(start, start + self.job["duration_ns"])

    def work(self, start, end):
        operation = getattr(self, self.job["operation"])
        begin = start
        while begin < end and not self.wrong:
            try:
                operation()
            except Wrong as e:
                self.wrong = e
                return
            except Exception as e:
                now = time.perf_counter_ns()
                self.failed += 1
                self.first_error = self.first_error or str(e)
            else:
                now = time.perf_counter_ns()
                self.done += 1
                self.latency.add(now - begin)
            begin = now
        if begin > start:
            self.rate = self.done * 1e9 / (begin - start)


def loop(job, db):
    workers = [Worker(job, db, job["first_worker"] + i) for i in range(job["goroutines"])]
    line = threading.Barrier(len(workers) + 1)
    started = []
    threads = [threading.Thread(target=w.run, args=(line, started)) for w in workers]
    for t in threads:
        t.start()
    line.wait()
    used = wait_for_start()
    started.append(time.perf_counter_ns())
    line.wait()
    for t in threads:
        t.join()
    used = used_since(used)
    latency, reads = Histogram(), Histogram()
    for w in workers:
        if w.wrong:
            raise w.wrong
        latency.merge(w.latency)
        reads.merge(w.reads)
    per = {"scan": job["rows"], "lease": 100}.get(job["operation"], 1)
    if job["operation"] == "lease":
        latency = latency.divided(per)
    return {
        "done": per * sum(w.done for w in workers),
        "failed": sum(w.failed for w in workers),
        "warm_failed": sum(w.warm_failed for w in workers),
        "first_error": next((w.first_error for w in workers if w.first_error), ""),
        "retries": db.lock_manager.get_statistics()["retry_attempts"],
        "rate": per * sum(w.rate for w in workers),
        **used,
        "latency": latency.tell(),
        "reads": reads.tell(),
        "ledger": [{"worker": w.number, "rows": w.rows, "sum": w.sum} for w in workers if w.rows],
    }


def bulk(job, db):
    n, worker = job["rows"], job["first_worker"]
    has = n // 10 if job["warm_ns"] > 0 else 0
    if has and not write_rows(db, worker, 0, has):
        raise Refused("execute_transaction returned False in the warm-up")
    latency = Histogram()
    used = wait_for_start()
    start = time.perf_counter_ns()
    if not write_rows(db, worker, has, n):
        return {"failed": 1, "first_error": "execute_transaction returned False"}
    took = time.perf_counter_ns() - start
    used = used_since(used)
    latency.add(took)
    has += n
    return {
        "done": n, "rate": n * 1e9 / took, **used, "latency": latency.tell(),
        "ledger": [{"worker": worker, "rows": has, "sum": has * (has + 1) // 2}],
    }


def write_rows(db, worker, has, n):
    return db.execute_transaction([(INSERT_ENTRY, (worker, seq, BODY)) for seq in range(has + 1, has + n + 1)])


def opens(job):
    if job["warm_ns"] > 0:
        opens_for(job, job["warm_ns"])
    used = wait_for_start()
    result = opens_for(job, job["duration_ns"])
    return result | used_since(used)


def opens_for(job, duration):
    latency = Histogram()
    done = busy = least = 0
    end = time.perf_counter_ns() + duration
    while time.perf_counter_ns() < end or not done:
        begin = time.perf_counter_ns()
        db = open_database(job)
        took = time.perf_counter_ns() - begin
        latency.add(took)
        least = min(least or took, took)
        done += 1
        busy += took
        for conn in db.lock_manager.connection_pool:
            conn.close()
    return {"done": done, "rate": done * 1e9 / busy, "least_ns": least, "latency": latency.tell()}


def open_database(job):
    settings = job["settings"]
    db = RobustDatabaseManager(settings["path"], {"synchronous": settings["synchronous"]})
    if db.execute_query("SELECT 1") != (1,):
        raise Wrong("SELECT 1 is not 1")
    return db


def end_with_parent():
    """Nobody waits for the result any more when the input ends early."""
    while os.read(0, 1):
        pass
    os._exit(1)


def wait_for_start():
    """Everything is warm. Returns what was used for it."""
    print("ready", flush=True)
    while os.read(0, 1) not in (b"\n", b""):
        pass
    threading.Thread(target=end_with_parent, daemon=True).start()
    return resource.getrusage(resource.RUSAGE_SELF)


def used_since(before):
    now = resource.getrusage(resource.RUSAGE_SELF)
    system = now.ru_stime - before.ru_stime
    return {
        "cpu_seconds": now.ru_utime - before.ru_utime + system,
        "system_seconds": system,
        "page_faults": now.ru_minflt - before.ru_minflt,
    }


def main():
    job = json.loads(sys.argv[1])
    db = None if job["operation"] == "open" else open_database(job)
    if db is None:
        result = opens(job)
    elif job["operation"] == "bulk":
        result = bulk(job, db)
    else:
        result = loop(job, db)
    print(json.dumps(result), flush=True)
    if db is not None:
        for conn in db.lock_manager.connection_pool:
            conn.close()


main()
