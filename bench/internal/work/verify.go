package work

import (
	"context"
	"fmt"
)

// Verdict is what the database says about what was acknowledged.
type Verdict struct {
	Lost    int64 // acknowledged, and not there
	Surplus int64 // there, although the contestant returned an error
}

// Verify compares the database with the ledgers and counts of all processes,
// which have ended. A database that says something that no write can explain
// is a *WrongError.
func Verify(ctx context.Context, path string, t *Tally) (Verdict, error) {
	db, err := openPlain(path)
	if err != nil {
		return Verdict{}, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT worker, count(*), sum(seq) FROM entry GROUP BY worker")
	if err != nil {
		return Verdict{}, fmt.Errorf("verify: %w", err)
	}
	defer rows.Close()
	told := map[int]Account{}
	for rows.Next() {
		var a Account
		if err := rows.Scan(&a.Worker, &a.Rows, &a.Sum); err != nil {
			return Verdict{}, err
		}
		told[a.Worker] = a
	}
	if err := rows.Err(); err != nil {
		return Verdict{}, err
	}
	var counted int64
	if err := db.QueryRowContext(ctx, "SELECT sum(n) FROM counter").Scan(&counted); err != nil {
		return Verdict{}, fmt.Errorf("verify: %w", err)
	}
	v := Verdict{Lost: max(0, t.Increments-counted), Surplus: max(0, counted-t.Increments)}
	for _, want := range t.Ledger {
		got := told[want.Worker]
		delete(told, want.Worker)
		v.Lost += max(0, want.Rows-got.Rows)
		v.Surplus += max(0, got.Rows-want.Rows)
		if got.Rows == want.Rows && got.Sum != want.Sum {
			v.Lost++ // and a refused one took its place
			v.Surplus++
		}
	}
	for _, unknown := range told {
		v.Surplus += unknown.Rows
	}
	if v.Surplus > 0 && t.Failed+t.WarmFailed == 0 {
		return v, &WrongError{fmt.Sprintf("%d rows are there that nobody has written", v.Surplus)}
	}
	return v, nil
}
