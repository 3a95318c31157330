/*
** The limit: the same statements on the same SQLite, without Go, drivers or
** pools, on one thread and one connection. Many writers are one thread that
** puts as many rows as there are writers into each COMMIT; many readers are a
** thread and a connection for each CPU.
**
**     loop OPERATION PATH SYNCHRONOUS ROWS WORKERS FIRST_WORKER WARM_NS NANOSECONDS CACHE_KIB
**
** It opens the database, warms up and prints "ready", waits for a line on its
** standard input, does the job, and prints what it did as one line of JSON.
*/
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sqlite3-binding.h"

#define NAME_BYTES 13
#define BODY "forty bytes of text, as a note could be."
#define BUCKETS (59 * 32)

struct job {
    const char *operation, *path, *synchronous;
    int64_t rows, workers, first_worker, warm, duration, cache_kib;
};

struct tally {
    int64_t done;     /* operations, or rows */
    int64_t acked;    /* rows of each worker */
    double seconds;
    struct rusage used; /* at the start */
    int64_t max, least;
    int64_t counts[BUCKETS];
};

static void die(const char *what, sqlite3 *db) {
    fprintf(stderr, "%s: %s\n", what, db ? sqlite3_errmsg(db) : "");
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

/* The histogram's bucket of a duration, as the benchmark has it. */
static int bucket(int64_t ns) {
    if (ns < 32) return (int)ns;
    int shift = 63 - __builtin_clzll((uint64_t)ns) - 5;
    return (int)(shift * 32 + (ns >> shift));
}

static void count(struct tally *t, int64_t took, int64_t times) {
    t->counts[bucket(took)] += times;
    if (took > t->max) t->max = took;
}

static void run(sqlite3 *db, const char *sql) {
    if (sqlite3_exec(db, sql, 0, 0, 0) != SQLITE_OK) die(sql, db);
}

static sqlite3 *open_database(const struct job *j) {
    sqlite3 *db;
    char sql[256];
    if (sqlite3_open_v2(j->path, &db, SQLITE_OPEN_READWRITE, 0) != SQLITE_OK) die("open", db);
    sqlite3_busy_timeout(db, 5000);
    snprintf(sql, sizeof sql, "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s; PRAGMA cache_size = -%lld; SELECT 1",
             j->synchronous, (long long)j->cache_kib);
    run(db, sql);
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *s;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, 0) != SQLITE_OK) die(sql, db);
    return s;
}

/* Nobody waits for the result any more when the input ends early. */
static void *end_with_parent(void *unused) {
    char c;
    while (read(0, &c, 1) > 0) {}
    _exit(1);
    return unused;
}

static void wait_for_start(struct tally *t) {
    char c = 0;
    pthread_t watcher;
    puts("ready");
    fflush(stdout);
    while (c != '\n' && read(0, &c, 1) == 1) {}
    if (pthread_create(&watcher, 0, end_with_parent, 0) != 0) die("thread", 0);
    getrusage(RUSAGE_SELF, &t->used);
}

/* What one operation needs, and what it leaves for the next. */
struct state {
    sqlite3 *db;
    const struct job *job;
    sqlite3_stmt *statement, *begin, *commit;
    uint64_t random;
    int64_t answered; /* callers that wait for one operation */
    int64_t acked;    /* rows of each worker */
    int64_t want_qty; /* of a scan */
};

/* Repeats an operation, which returns how many rows that were. */
static void repeat(struct state *s, struct tally *t, int64_t duration, int64_t (*operation)(struct state *)) {
    int64_t start = now(), begin = start;
    while (begin < start + duration) {
        int64_t n = operation(s);
        int64_t end = now();
        count(t, end - begin, s->answered);
        t->done += n;
        begin = end;
    }
    t->seconds = (double)(begin - start) / 1e9;
}

static void loop(struct state *s, struct tally *t, int64_t (*operation)(struct state *)) {
    repeat(s, t, s->job->warm, operation);
    memset(t, 0, sizeof *t);
    wait_for_start(t);
    repeat(s, t, s->job->duration, operation);
    t->acked = s->acked;
}

static int64_t get(struct state *s) {
    uint64_t x = s->random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    s->random = x;
    int64_t id = 1 + (int64_t)(x % (uint64_t)s->job->rows);
    sqlite3_bind_int64(s->statement, 1, id);
    if (sqlite3_step(s->statement) != SQLITE_ROW) die("get", s->db);
    const unsigned char *name = sqlite3_column_text(s->statement, 0);
    if (!name || sqlite3_column_bytes(s->statement, 0) != NAME_BYTES || sqlite3_column_int64(s->statement, 1) != id * 7 % 1000 ||
        sqlite3_column_double(s->statement, 2) != (double)id / 4)
        die("wrong answer: an item was read wrong", 0);
    sqlite3_reset(s->statement);
    return 1;
}

/* One thread that reads. */
struct reader {
    pthread_t thread;
    struct state state;
    struct tally tally;
    int64_t duration;
};

static void *read_for(void *argument) {
    struct reader *r = argument;
    repeat(&r->state, &r->tally, r->duration, get);
    return 0;
}

static void read_together(struct reader *readers, int64_t n, int64_t duration) {
    for (int64_t i = 0; i < n; i++) {
        readers[i].duration = duration;
        memset(&readers[i].tally, 0, sizeof readers[i].tally);
        if (pthread_create(&readers[i].thread, 0, read_for, &readers[i]) != 0) die("thread", 0);
    }
    for (int64_t i = 0; i < n; i++) pthread_join(readers[i].thread, 0);
}

static void gets(const struct job *j, struct tally *t) {
    int64_t cpus = sysconf(_SC_NPROCESSORS_ONLN), n = j->workers < cpus ? j->workers : cpus;
    struct reader *readers = calloc((size_t)n, sizeof *readers);
    if (!readers) die("memory", 0);
    for (int64_t i = 0; i < n; i++) {
        struct state *s = &readers[i].state;
        s->job = j;
        s->answered = 1;
        s->random = 88172645463325252u + (uint64_t)i;
        s->db = open_database(j);
        s->statement = prepare(s->db, "SELECT name, qty, price FROM item WHERE id = ?");
    }
    read_together(readers, n, j->warm);
    wait_for_start(t);
    read_together(readers, n, j->duration);
    double rate = 0;
    for (int64_t i = 0; i < n; i++) {
        const struct tally *one = &readers[i].tally;
        rate += (double)one->done / one->seconds;
        t->done += one->done;
        if (one->max > t->max) t->max = one->max;
        for (int b = 0; b < BUCKETS; b++) t->counts[b] += one->counts[b];
        sqlite3_finalize(readers[i].state.statement);
        sqlite3_close(readers[i].state.db);
    }
    t->seconds = (double)t->done / rate;
    free(readers);
}

static int64_t scan(struct state *state) {
    sqlite3_stmt *s = state->statement;
    int64_t n = state->job->rows, rows = 0, ids = 0, qty = 0, bytes = 0;
    double price = 0;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        rows++;
        ids += sqlite3_column_int64(s, 0);
        if (sqlite3_column_text(s, 1)) bytes += sqlite3_column_bytes(s, 1);
        qty += sqlite3_column_int64(s, 2);
        price += sqlite3_column_double(s, 3);
    }
    if (rc != SQLITE_DONE) die("scan", state->db);
    if (rows != n || ids != n * (n + 1) / 2 || bytes != n * NAME_BYTES || qty != state->want_qty || price != (double)(n * (n + 1)) / 8)
        die("wrong answer: the scan did not see all rows as they are", 0);
    sqlite3_reset(s);
    return rows;
}

static void scans(struct state *s, struct tally *t) {
    for (int64_t id = 1; id <= s->job->rows; id++) s->want_qty += id * 7 % 1000;
    s->statement = prepare(s->db, "SELECT id, name, qty, price FROM item");
    loop(s, t, scan);
}

static sqlite3_stmt *prepare_insert(sqlite3 *db) {
    return prepare(db, "INSERT INTO entry(worker, seq, body) VALUES (?, ?, ?)");
}

static void insert(struct state *s, int64_t worker, int64_t seq) {
    sqlite3_bind_int64(s->statement, 1, worker);
    sqlite3_bind_int64(s->statement, 2, seq);
    sqlite3_bind_text(s->statement, 3, BODY, (int)strlen(BODY), SQLITE_STATIC);
    if (sqlite3_step(s->statement) != SQLITE_DONE) die("insert", s->db);
    sqlite3_reset(s->statement);
}

static int64_t insert_each(struct state *s) {
    int64_t workers = s->job->workers, seq = ++s->acked;
    if (workers > 1 && sqlite3_step(s->begin) != SQLITE_DONE) die("begin", s->db);
    for (int64_t w = 0; w < workers; w++) insert(s, s->job->first_worker + w, seq);
    if (workers > 1 && sqlite3_step(s->commit) != SQLITE_DONE) die("commit", s->db);
    sqlite3_reset(s->begin);
    sqlite3_reset(s->commit);
    return workers;
}

static void inserts(struct state *s, struct tally *t) {
    s->statement = prepare_insert(s->db);
    s->begin = prepare(s->db, "BEGIN IMMEDIATE");
    s->commit = prepare(s->db, "COMMIT");
    s->answered = s->job->workers;
    loop(s, t, insert_each);
}

static int64_t write_rows(struct state *s, int64_t n) {
    int64_t start = now(), end = s->acked + n;
    run(s->db, "BEGIN IMMEDIATE");
    while (s->acked < end) insert(s, s->job->first_worker, ++s->acked);
    run(s->db, "COMMIT");
    return now() - start;
}

static void bulk(struct state *s, struct tally *t) {
    s->statement = prepare_insert(s->db);
    if (s->job->warm > 0) write_rows(s, s->job->rows / 10);
    wait_for_start(t);
    int64_t took = write_rows(s, s->job->rows);
    count(t, took, 1);
    t->done = s->job->rows;
    t->acked = s->acked;
    t->seconds = (double)took / 1e9;
}

static void opens_for(const struct job *j, struct tally *t, int64_t duration) {
    int64_t end = now() + duration, busy = 0;
    while (now() < end || !t->done) {
        int64_t begin = now();
        sqlite3 *db = open_database(j);
        int64_t took = now() - begin;
        count(t, took, 1);
        if (!t->done || took < t->least) t->least = took;
        t->done++;
        busy += took;
        sqlite3_close(db);
    }
    t->seconds = (double)busy / 1e9;
}

static void opens(const struct job *j, struct tally *t) {
    if (j->warm > 0) opens_for(j, t, j->warm);
    memset(t, 0, sizeof *t);
    wait_for_start(t);
    opens_for(j, t, j->duration);
}

static void tell(const struct job *j, const struct tally *t) {
    const char *comma = "";
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double system = seconds(used.ru_stime) - seconds(t->used.ru_stime), user = seconds(used.ru_utime) - seconds(t->used.ru_utime);
    printf("{\"done\":%lld,\"rate\":%.17g,\"cpu_seconds\":%.6f,\"system_seconds\":%.6f,\"page_faults\":%ld,"
           "\"least_ns\":%lld,\"latency\":{\"max_ns\":%lld,\"buckets\":[",
           (long long)t->done, t->seconds > 0 ? (double)t->done / t->seconds : 0, user + system, system,
           used.ru_minflt - t->used.ru_minflt, (long long)t->least, (long long)t->max);
    for (int i = 0; i < BUCKETS; i++) {
        if (!t->counts[i]) continue;
        printf("%s[%d,%lld]", comma, i, (long long)t->counts[i]);
        comma = ",";
    }
    printf("]},\"ledger\":[");
    for (int64_t w = 0; t->acked && w < j->workers; w++)
        printf("%s{\"worker\":%lld,\"rows\":%lld,\"sum\":%lld}", w ? "," : "", (long long)(j->first_worker + w),
               (long long)t->acked, (long long)(t->acked * (t->acked + 1) / 2));
    printf("]}\n");
    fflush(stdout);
}

static void one_connection(const struct job *j, struct tally *t) {
    struct state s = {.db = open_database(j), .job = j, .answered = 1};
    if (!strcmp(j->operation, "scan")) scans(&s, t);
    else if (!strcmp(j->operation, "insert")) inserts(&s, t);
    else if (!strcmp(j->operation, "bulk")) bulk(&s, t);
    else die("no such operation", 0);
    sqlite3_finalize(s.statement);
    sqlite3_finalize(s.begin);
    sqlite3_finalize(s.commit);
    sqlite3_close(s.db);
}

int main(int argc, char **argv) {
    static struct tally t;
    if (argc != 10) die("nine arguments are needed", 0);
    struct job j = {argv[1], argv[2], argv[3], atoll(argv[4]), atoll(argv[5]), atoll(argv[6]), atoll(argv[7]), atoll(argv[8]), atoll(argv[9])};
    if (!strcmp(j.operation, "open")) opens(&j, &t);
    else if (!strcmp(j.operation, "get") || !strcmp(j.operation, "prepared")) gets(&j, &t);
    else one_connection(&j, &t);
    tell(&j, &t);
    _exit(0); /* the watcher would see the input end, and call that a failure */
}
