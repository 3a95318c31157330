package transaction

import (
	"context"
	"database/sql"
	"slices"

	"github.com/holdfastdb/holdfast"
)

type store struct{ db *holdfast.DB }

func (s *store) update(ctx context.Context, other *holdfast.DB) error {
	return s.db.Update(ctx, func(tx *sql.Tx) error {
		defer s.db.Exec("DELETE FROM t") // want `s\.db\.Exec`
		if _, err := tx.Exec("DELETE FROM t"); err != nil {
			return err
		}
		func() {
			s.db.DB.QueryRow("SELECT 1") // want `s\.db\.DB\.QueryRow`
		}()
		other.Exec("DELETE FROM t")
		go s.db.Exec("DELETE FROM t")
		slices.SortFunc([]int{1, 2}, func(a, b int) int { s.db.Exec(""); return 0 })
		_, err := s.db.ExecContext(ctx, "DELETE FROM t") // want `s\.db\.ExecContext`
		return err
	})
}

func view(ctx context.Context, db *holdfast.DB) error {
	return db.View(ctx, func(tx *sql.Tx) error {
		_, err := db.Exec("DELETE FROM t")
		return err
	})
}

func between(db *sql.DB, list []int) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for range list {
		if _, err := tx.Exec("DELETE FROM t"); err != nil {
			tx.Rollback()
			return err
		}
		db.Exec("DELETE FROM t") // want `db\.Exec`
	}
	if err := db.QueryRow("SELECT 1").Err(); err != nil { // want `db\.QueryRow`
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.Exec("DELETE FROM t")
	return err
}

func healthy(ctx context.Context, db, other *sql.DB, way int) error {
	db.Exec("DELETE FROM t")
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		db.Exec("INSERT INTO log VALUES ('no transaction')")
		return err
	}
	defer db.Exec("DELETE FROM t") // after the commit
	other.Exec("DELETE FROM t")
	if way == 1 {
		tx.Rollback()
		db.Exec("DELETE FROM t")
		return nil
	}
	finish(tx)
	db.Exec("DELETE FROM t")
	return nil
}

func reading(ctx context.Context, db *sql.DB) {
	tx, _ := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	db.Exec("DELETE FROM t")
	tx.Rollback()
}

type readDB struct{ *sql.DB }

type writeDB struct{ *sql.DB }

type pair struct {
	readDB
	writeDB
}

func twoPools(p *pair) {
	tx, err := p.writeDB.Begin()
	if err == nil {
		p.readDB.Query("SELECT 1")
		p.writeDB.DB.Exec("DELETE FROM t") // want `p\.writeDB\.DB\.Exec`
		tx.Commit()
	}
}

func finish(tx *sql.Tx) { tx.Commit() }
