package metrics

import (
	"context"
	"database/sql/driver"
	"errors"
	"strconv"

	"github.com/XSAM/otelsql"
	"github.com/holdfastdb/holdfast"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Connector is that of the database without its Close: a pool made of it ends alone, and
// the database stays open.
func Connector(db *holdfast.DB) driver.Connector { return connector{db.Connector()} }

type connector struct{ driver.Connector }

// TraceOptions are the options of github.com/XSAM/otelsql for spans with the names
// of the semantic conventions, one for each statement, BEGIN, COMMIT and ROLLBACK:
//
//	pool := otelsql.OpenDB(metrics.Connector(db), metrics.TraceOptions(db)...)
//
// The name of a span is what Summary makes of the statement. Its text is
// left out, because one with values in it would tell them. Of options only Name counts.
// Update, View, Batch and Rows of the database don't go through such a pool.
func TraceOptions(db *holdfast.DB, options ...Option) []otelsql.Option {
	name := newSource(db, options).name
	return []otelsql.Option{
		otelsql.WithAttributes(semconv.DBSystemNameSQLite, semconv.DBNamespace(name)),
		otelsql.WithSpanNameFormatter(func(_ context.Context, m otelsql.Method, query string) string {
			_, summary := spoken(m, query)
			return summary
		}),
		otelsql.WithAttributesGetter(func(_ context.Context, m otelsql.Method, query string, _ []driver.NamedValue) []attribute.KeyValue {
			operation, summary := spoken(m, query)
			return []attribute.KeyValue{semconv.DBOperationName(operation), semconv.DBQuerySummary(summary)}
		}),
		otelsql.WithSpanErrorAttributesGetter(errorAttributes),
		otelsql.WithInstrumentErrorAttributesGetter(errorAttributes),
		otelsql.WithDisableSkipErrMeasurement(true),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			DisableErrSkip: true, DisableQuery: true,
			OmitConnResetSession: true, OmitConnPrepare: true, OmitRows: true, OmitConnectorConnect: true,
		}),
	}
}

// spoken are the operation and summary of a span.
func spoken(m otelsql.Method, query string) (operation, summary string) {
	switch m {
	case otelsql.MethodConnBeginTx:
		return "BEGIN", "BEGIN"
	case otelsql.MethodTxCommit:
		return "COMMIT", "COMMIT"
	case otelsql.MethodTxRollback:
		return "ROLLBACK", "ROLLBACK"
	}
	return Summary(query)
}

func errorAttributes(err error) []attribute.KeyValue {
	var e *holdfast.Error
	if err == nil || !errors.As(err, &e) {
		return nil
	}
	code := strconv.Itoa(e.ExtendedCode) // the binding knows the names, the public package does not
	return []attribute.KeyValue{semconv.DBResponseStatusCode(code), semconv.ErrorTypeKey.String(code)}
}
