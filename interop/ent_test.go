package interop

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"
	"entgo.io/ent/dialect/sql/sqlgraph"
	"entgo.io/ent/schema/field"
)

// The tests stand on the layer below ent's generated code: entsql.Driver,
// schema.Migrate and sqlgraph are what a generated client calls.

const (
	entUsers = "users"
	entPets  = "pets"
)

// entTables is the schema; with wide, users has the columns of a later version.
func entTables(wide bool) []*schema.Table {
	id := func() *schema.Column { return &schema.Column{Name: "id", Type: field.TypeInt, Increment: true} }
	users := schema.NewTable(entUsers).AddPrimary(id()).
		AddColumn(&schema.Column{Name: "name", Type: field.TypeString, Unique: true}).
		AddColumn(&schema.Column{Name: "age", Type: field.TypeInt, Default: 18}).
		AddColumn(&schema.Column{Name: "active", Type: field.TypeBool, Default: false}).
		AddColumn(&schema.Column{Name: "avatar", Type: field.TypeBytes, Nullable: true}).
		AddColumn(&schema.Column{Name: "tags", Type: field.TypeJSON, Nullable: true}).
		AddColumn(&schema.Column{Name: "seen", Type: field.TypeTime, Nullable: true}).
		AddColumn(&schema.Column{Name: "born", Type: field.TypeTime, Nullable: true, SchemaType: map[string]string{dialect.SQLite: "date"}})
	if wide {
		users.AddColumn(&schema.Column{Name: "rank", Type: field.TypeFloat64, Default: 1.5}).
			AddColumn(&schema.Column{Name: "kind", Type: field.TypeEnum, Enums: []string{"a", "b"}, Default: "a"}).
			AddIndex("users_by_rank", false, []string{"rank"})
	}
	owner := &schema.Column{Name: "owner_id", Type: field.TypeInt}
	pets := schema.NewTable(entPets).AddPrimary(id()).
		AddColumn(&schema.Column{Name: "name", Type: field.TypeString}).
		AddColumn(owner).
		AddForeignKey(&schema.ForeignKey{
			Symbol: "pets_users", Columns: []*schema.Column{owner}, RefTable: users,
			RefColumns: users.PrimaryKey, OnDelete: schema.Cascade,
		})
	return []*schema.Table{users, pets}
}

func entMigrate(ctx context.Context, drv dialect.Driver, tables []*schema.Table) error {
	m, err := schema.NewMigrate(drv, schema.WithForeignKeys(true), schema.WithDropColumn(true), schema.WithDropIndex(true))
	if err != nil {
		return err
	}
	return m.Create(ctx, tables...)
}

func openEnt(t *testing.T) *entsql.Driver {
	t.Helper()
	drv := entsql.OpenDB(dialect.SQLite, open(t))
	must(t, entMigrate(t.Context(), drv, entTables(false)))
	return drv
}

// entTx makes a transaction look like a driver, as generated clients do.
type entTx struct{ dialect.ExecQuerier }

func (entTx) Dialect() string                           { return dialect.SQLite }
func (entTx) Close() error                              { return nil }
func (tx entTx) Tx(context.Context) (dialect.Tx, error) { return dialect.NopTx(tx), nil }

func entID() *sqlgraph.FieldSpec                 { return sqlgraph.NewFieldSpec("id", field.TypeInt) }
func entName(name string) func(*entsql.Selector) { return entsql.FieldEQ("name", name) }

func entSet(c string, ft field.Type, v any) *sqlgraph.FieldSpec {
	return &sqlgraph.FieldSpec{Column: c, Type: ft, Value: v}
}

func entUser(name string, more ...*sqlgraph.FieldSpec) *sqlgraph.CreateSpec {
	spec := sqlgraph.NewCreateSpec(entUsers, entID())
	spec.Fields = append([]*sqlgraph.FieldSpec{
		entSet("name", field.TypeString, name), entSet("age", field.TypeInt, 18), entSet("active", field.TypeBool, false),
	}, more...)
	return spec
}

func entCreate(ctx context.Context, drv dialect.Driver, name string) error {
	return sqlgraph.CreateNode(ctx, drv, entUser(name))
}

func TestEnt(t *testing.T) {
	t.Parallel()
	t.Run("CRUD", testEntCRUD)
	t.Run("Edges", testEntEdges)
	t.Run("Transactions", testEntTransactions)
	t.Run("Migrations", testEntMigrations)
	t.Run("Values", testEntValues)
	t.Run("JSON", testEntJSON)
	t.Run("Upsert", testEntUpsert)
	t.Run("ConstraintErrors", testEntConstraintErrors)
	t.Run("Attach", testEntAttach)
	t.Run("Contention", testEntContention)
}

func testEntCRUD(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	ann := entUser("Ann")
	must(t, sqlgraph.CreateNode(ctx, drv, ann))
	equal(t, "id", ann.ID.Value, driver.Value(int64(1)))
	batch := &sqlgraph.BatchCreateSpec{Nodes: []*sqlgraph.CreateSpec{entUser("Bob"), entUser("Cy"), entUser("Di")}}
	must(t, sqlgraph.BatchCreate(ctx, drv, batch))
	equal(t, "ids of the batch", []any{batch.Nodes[0].ID.Value, batch.Nodes[2].ID.Value}, []any{int64(2), int64(4)})

	update := sqlgraph.NewUpdateSpec(entUsers, []string{"id", "name", "age"}, entID())
	update.Predicate = entsql.FieldIn("name", "Bob", "Cy")
	update.AddField("age", field.TypeInt, 2)
	n, err := sqlgraph.UpdateNodes(ctx, drv, update)
	must(t, err)
	equal(t, "users updated", n, 2)

	var age sql.NullInt64
	one := sqlgraph.NewUpdateSpec(entUsers, []string{"id", "age"}, entID())
	one.Node.ID.Value = 1
	one.SetField("age", field.TypeInt, 40)
	one.ScanValues = func([]string) ([]any, error) { return []any{new(sql.NullInt64), &age}, nil }
	one.Assign = func([]string, []any) error { return nil }
	must(t, sqlgraph.UpdateNode(ctx, drv, one))
	equal(t, "age read back by the update", age.Int64, int64(40))
	one.Node.ID.Value = 99
	if err := sqlgraph.UpdateNode(ctx, drv, one); err == nil {
		t.Error("updating a missing user succeeded")
	}

	count, err := sqlgraph.CountNodes(ctx, drv, &sqlgraph.QuerySpec{
		Node: &sqlgraph.NodeSpec{Table: entUsers, Columns: []string{"id"}, ID: entID()}, Predicate: entsql.FieldGT("age", 18),
	})
	must(t, err)
	equal(t, "users above 18", count, 3)
	remove := sqlgraph.NewDeleteSpec(entUsers, entID())
	remove.Predicate = entsql.FieldEQ("age", 20)
	n, err = sqlgraph.DeleteNodes(ctx, drv, remove)
	must(t, err)
	equal(t, "users deleted", n, 2)
	equal(t, "who is left", column(t, drv.DB(), "SELECT name FROM users ORDER BY id"), "Ann,Di")
}

func entPetOf(owner int, names ...string) *sqlgraph.BatchCreateSpec {
	batch := &sqlgraph.BatchCreateSpec{}
	for _, name := range names {
		spec := sqlgraph.NewCreateSpec(entPets, entID())
		spec.SetField("name", field.TypeString, name)
		spec.Edges = []*sqlgraph.EdgeSpec{{
			Rel: sqlgraph.M2O, Inverse: true, Table: entPets, Columns: []string{"owner_id"},
			Target: &sqlgraph.EdgeTarget{IDSpec: entID(), Nodes: []driver.Value{owner}},
		}}
		batch.Nodes = append(batch.Nodes, spec)
	}
	return batch
}

func testEntEdges(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	must(t, entCreate(ctx, drv, "Ann"))
	must(t, entCreate(ctx, drv, "Bob"))
	must(t, sqlgraph.BatchCreate(ctx, drv, entPetOf(1, "Rex", "Tom")))
	must(t, sqlgraph.BatchCreate(ctx, drv, entPetOf(2, "Fay")))

	step := sqlgraph.NewStep(sqlgraph.From(entUsers, "id"), sqlgraph.To(entPets, "id"), sqlgraph.Edge(sqlgraph.O2M, false, entPets, "owner_id"))
	names := entsql.Dialect(dialect.SQLite).Select("name").From(entsql.Table(entUsers))
	sqlgraph.HasNeighborsWith(names, step, entName("Rex"))
	query, args := names.Query()
	equal(t, "owner of Rex", column(t, drv.DB(), query, args...), "Ann")

	remove := sqlgraph.NewDeleteSpec(entUsers, entID())
	remove.Predicate = entName("Ann")
	_, err := sqlgraph.DeleteNodes(ctx, drv, remove)
	must(t, err)
	equal(t, "pets left", column(t, drv.DB(), "SELECT name FROM pets"), "Fay")
}

func testEntTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	tx, err := drv.BeginTx(ctx, &entsql.TxOptions{Isolation: sql.LevelSerializable})
	must(t, err)
	must(t, entCreate(ctx, entTx{tx}, "kept"))
	must(t, tx.Exec(ctx, "SAVEPOINT a", []any{}, nil))
	must(t, entCreate(ctx, entTx{tx}, "undone with a"))
	must(t, tx.Exec(ctx, "SAVEPOINT b", []any{}, nil))
	must(t, entCreate(ctx, entTx{tx}, "undone with b"))
	must(t, tx.Exec(ctx, "ROLLBACK TO b", []any{}, nil))
	must(t, tx.Exec(ctx, "ROLLBACK TO a", []any{}, nil))
	must(t, tx.Exec(ctx, "RELEASE a", []any{}, nil))
	must(t, tx.Commit())

	tx, err = drv.Tx(ctx)
	must(t, err)
	must(t, entCreate(ctx, entTx{tx}, "undone"))
	if err := entCreate(ctx, entTx{tx}, "kept"); !sqlgraph.IsUniqueConstraintError(err) {
		t.Errorf("same name in the transaction: %v", err)
	}
	must(t, tx.Rollback())
	equal(t, "users", column(t, drv.DB(), "SELECT name FROM users"), "kept")
}

func testEntMigrations(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	must(t, entCreate(ctx, drv, "Ann"))
	must(t, sqlgraph.BatchCreate(ctx, drv, entPetOf(1, "Rex")))
	columns := func() string {
		return column(t, drv.DB(), "SELECT name FROM pragma_table_info('users') WHERE name IN ('rank', 'kind') ORDER BY 1")
	}
	must(t, entMigrate(ctx, drv, entTables(true)))
	equal(t, "columns after the migration up", columns(), "kind,rank")
	equal(t, "their defaults", column(t, drv.DB(), "SELECT rank || kind FROM users"), "1.5a")
	must(t, entMigrate(ctx, drv, entTables(true)))

	// Down: ent rebuilds users. The pets stay only if foreign keys are off then.
	must(t, entMigrate(ctx, drv, entTables(false)))
	equal(t, "columns after the migration down", columns(), "")
	equal(t, "pets after the rebuild of users", column(t, drv.DB(), "SELECT name FROM pets"), "Rex")
	equal(t, "foreign_keys", column(t, drv.DB(), "PRAGMA foreign_keys"), "1")
}

// entRow is a row of users with every column that may be NULL.
type entRow struct {
	name   sql.NullString
	active sql.NullBool
	avatar []byte
	tags   []byte
	seen   sql.NullTime
	born   sql.NullTime
}

func entFind(ctx context.Context, drv dialect.Driver, name string) (entRow, error) {
	var row entRow
	spec := sqlgraph.NewQuerySpec(entUsers, []string{"id", "name", "active", "avatar", "tags", "seen", "born"}, entID())
	spec.Predicate = entName(name)
	spec.ScanValues = func([]string) ([]any, error) {
		return []any{new(sql.NullInt64), &row.name, &row.active, &row.avatar, &row.tags, &row.seen, &row.born}, nil
	}
	spec.Assign = func([]string, []any) error { return nil }
	return row, sqlgraph.QueryNodes(ctx, drv, spec)
}

func testEntValues(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	day := time.Date(1912, time.June, 23, 0, 0, 0, 0, time.UTC)
	must(t, sqlgraph.CreateNode(ctx, drv, entUser("Full",
		entSet("avatar", field.TypeBytes, []byte{0, 255}), entSet("tags", field.TypeJSON, []string{"x", "y"}),
		entSet("seen", field.TypeTime, zonedMoment), entSet("born", field.TypeTime, day))))
	must(t, sqlgraph.CreateNode(ctx, drv, entUser("Utc", entSet("seen", field.TypeTime, utcMoment))))
	must(t, entCreate(ctx, drv, "Nulls"))

	full, err := entFind(ctx, drv, "Full")
	must(t, err)
	equal(t, "avatar", full.avatar, []byte{0, 255})
	equal(t, "tags", string(full.tags), `["x","y"]`)
	sameInstant(t, "seen", full.seen.Time, zonedMoment)
	sameInstant(t, "born", full.born.Time, day)
	utc, err := entFind(ctx, drv, "Utc")
	must(t, err)
	sameInstant(t, "seen in UTC", utc.seen.Time, utcMoment)
	nulls, err := entFind(ctx, drv, "Nulls")
	must(t, err)
	equal(t, "NULLs", []bool{nulls.avatar != nil, nulls.tags != nil, nulls.seen.Valid, nulls.born.Valid, nulls.active.Bool},
		[]bool{false, false, false, false, false})
	equal(t, "seen, read by SQLite", column(t, drv.DB(), "SELECT unixepoch(seen) FROM users WHERE name = 'Full'"),
		strconv.FormatInt(zonedMoment.Unix(), 10))
}

func testEntJSON(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	must(t, sqlgraph.CreateNode(ctx, drv, entUser("Ann", entSet("tags", field.TypeJSON, []string{"go", "sql"}))))
	must(t, sqlgraph.CreateNode(ctx, drv, entUser("Bob", entSet("tags", field.TypeJSON, []string{"sql"}))))
	count, err := sqlgraph.CountNodes(ctx, drv, &sqlgraph.QuerySpec{
		Node: &sqlgraph.NodeSpec{Table: entUsers, Columns: []string{"id"}, ID: entID()},
		Predicate: func(s *entsql.Selector) {
			s.Where(entsql.ExprP("EXISTS (SELECT 1 FROM json_each(`users`.`tags`) WHERE value = ?)", "go"))
		},
	})
	must(t, err)
	equal(t, "users tagged go", count, 1)
}

func testEntUpsert(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	for age := range 3 {
		spec := entUser("Ann")
		spec.Fields[1].Value = age
		spec.OnConflict = []entsql.ConflictOption{entsql.ConflictColumns("name"), entsql.ResolveWithNewValues()}
		must(t, sqlgraph.CreateNode(ctx, drv, spec))
		equal(t, "id", spec.ID.Value, driver.Value(int64(1)))
	}
	equal(t, "users", column(t, drv.DB(), "SELECT name || age FROM users"), "Ann2")
}

func testEntConstraintErrors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	must(t, entCreate(ctx, drv, "Ann"))
	if err := entCreate(ctx, drv, "Ann"); !sqlgraph.IsConstraintError(err) || !sqlgraph.IsUniqueConstraintError(err) {
		t.Errorf("same name: %v is no unique violation to ent", err)
	}
	if err := sqlgraph.BatchCreate(ctx, drv, entPetOf(99, "Rex")); !sqlgraph.IsForeignKeyConstraintError(err) {
		t.Errorf("no such owner: %v is no foreign key violation to ent", err)
	}
	must(t, drv.Exec(ctx, "CREATE TABLE odd (n INTEGER CHECK (n % 2 = 1))", []any{}, nil))
	if err := drv.Exec(ctx, "INSERT INTO odd VALUES (?)", []any{2}, nil); !sqlgraph.IsCheckConstraintError(err) {
		t.Errorf("an even number: %v is no check violation to ent", err)
	}
}

func testEntAttach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	must(t, entCreate(ctx, drv, "Ann"))
	pinned, err := drv.DB().Conn(ctx)
	must(t, err)
	defer pinned.Close()
	conn := entsql.Conn{ExecQuerier: pinned}
	must(t, conn.Exec(ctx, "ATTACH DATABASE ? AS archive", []any{filepath.Join(t.TempDir(), "archive.db")}, nil))
	must(t, conn.Exec(ctx, "CREATE TABLE archive.users AS SELECT * FROM main.users", []any{}, nil))
	query, args := entsql.Dialect(dialect.SQLite).Select("name").From(entsql.Table(entUsers).Schema("archive")).Query()
	equal(t, "users in the archive", column(t, pinned, query, args...), "Ann")
}

func testEntContention(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	drv := openEnt(t)
	must(t, drv.Exec(ctx, ledgerSchema, []any{}, nil))
	contend(t, drv.DB(), func(ctx context.Context, worker, turn int) error {
		tx, err := drv.Tx(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		rows := &entsql.Rows{}
		query, args := entsql.Dialect(dialect.SQLite).Select("n").From(entsql.Table("counters")).Where(entsql.EQ("id", 1)).Query()
		if err := tx.Query(ctx, query, args, rows); err != nil {
			return err
		}
		n, err := entsql.ScanInt(rows)
		rows.Close()
		if err != nil {
			return err
		}
		query, args = entsql.Dialect(dialect.SQLite).Update("counters").Set("n", n+1).Where(entsql.EQ("id", 1)).Query()
		if err := tx.Exec(ctx, query, args, nil); err != nil {
			return err
		}
		query, args = entsql.Dialect(dialect.SQLite).Insert("ledger").Columns("worker", "turn").Values(worker, turn).Query()
		if err := tx.Exec(ctx, query, args, nil); err != nil {
			return err
		}
		return tx.Commit()
	})
}
