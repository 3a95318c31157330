// The basic operations of rqlite-js against the daemon whose URL is the argument. What it
// finds is compared by the test that runs it.
const { DataApiClient, StatusApiClient } = require('rqlite-js')

const url = process.argv[2]
const authentication = { username: 'test', password: process.argv[3] }

function check (what, got, want) {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)]
  if (g !== w) {
    throw new Error(`${what}: got ${g}, want ${w}`)
  }
}

async function main () {
  const data = new DataApiClient(url, { authentication })
  let results = await data.execute('CREATE TABLE foo (id integer not null primary key, name text)')
  check('create', results.hasError(), false)

  results = await data.execute('INSERT INTO foo(name) VALUES("fiona")')
  check('insert', [results.hasError(), results.get(0).getLastInsertId(), results.get(0).getRowsAffected()], [false, 1, 1])

  results = await data.execute([['INSERT INTO foo(name) VALUES(?)', 'sinead'], ['INSERT INTO foo(name) VALUES(:name)', { name: 'declan' }]])
  check('parameters', results.toArray().length, 2)
  check('parameters', [results.hasError(), results.get(1).getLastInsertId()], [false, 3])

  results = await data.query('SELECT name FROM foo WHERE id="1"')
  check('query', [results.hasError(), results.get(0).get('name')], [false, 'fiona'])

  results = await data.query([['SELECT id, name FROM foo WHERE id = ?', 2]], { level: 'strong' })
  check('query with a parameter', results.get(0).toObject(), { id: 2, name: 'sinead' })

  results = await data.execute('UPDATE foo SET name="justin" WHERE name="fiona"')
  check('update', results.get(0).getRowsAffected(), 1)

  results = await data.execute(['INSERT INTO foo(name) VALUES("x")', 'INSERT INTO bar(name) VALUES("y")'], { transaction: true })
  check('a transaction that fails', results.hasError(), true)
  results = await data.query('SELECT count(*) AS n FROM foo')
  check('nothing is left of it', results.get(0).get('n'), 3)

  results = await data.query('SELECT nothing FROM foo')
  check('an error', results.hasError(), true)

  results = await data.execute('DELETE FROM foo WHERE id = 3')
  check('delete', results.get(0).getRowsAffected(), 1)

  const { body } = await new StatusApiClient(url, { authentication }).status()
  check('status', typeof body.store.leader.node_id, 'string')
  console.log('ok')
}

main().catch((e) => {
  console.error(e.message)
  process.exit(1)
})
