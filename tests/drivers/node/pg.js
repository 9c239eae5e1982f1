// What `pg` gets from the database at the URL, as one JSON object.
"use strict";
const { Client, Query } = require("pg");

// A portal that is read in portions: what the package pg-cursor does, written with pg's own messages.
class Portions {
  constructor(text, size) {
    Object.assign(this, { text, size, rows: 0, largest: 0, now: 0 });
    this.done = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
  }
  submit(connection) {
    this.connection = connection;
    connection.parse({ text: this.text, name: "portions" });
    connection.bind({ portal: "portal", statement: "portions" });
    connection.describe({ type: "P", name: "portal" });
    connection.once("portalSuspended", this.next = () => {
      this.note();
      connection.once("portalSuspended", this.next);
      this.fetch();
    });
    this.fetch();
  }
  fetch() {
    this.connection.execute({ portal: "portal", rows: String(this.size) });
    this.connection.flush();
  }
  note() { this.largest = Math.max(this.largest, this.now); this.now = 0; }
  handleRowDescription() {}
  handleDataRow() { this.rows += 1; this.now += 1; }
  handlePortalSuspended() {}
  handleCommandComplete() {
    this.note();
    this.connection.removeListener("portalSuspended", this.next);
    this.connection.sync();
  }
  handleReadyForQuery() { this.resolve({ rows: this.rows, largest: this.largest }); }
  handleError(error) { this.reject(error); }
}

async function main(url) {
  const client = new Client({ connectionString: url });
  await client.connect();
  const answers = {};
  const columns = "id, email, income, visits, is_member, tags[1:1] AS tags, numbers, attributes, seen_at";
  answers.rows = (await client.query(
    `SELECT ${columns} FROM customers WHERE id = ANY($1) ORDER BY id`, [[3, 4]])).rows;
  answers.prepared = [];
  for (const id of [1, 2, 3, 4, 5, 6]) {
    const shown = await client.query({
      name: "again", text: "SELECT email FROM customers WHERE id = $1", values: [id],
    });
    answers.prepared.push(shown.rows[0].email.replace(/^p\d+/, "p2"));
  }
  const portions = new Portions("SELECT id, total FROM sales.orders ORDER BY id", 700);
  client.query(portions);
  answers.portions = await portions.done;
  answers.failed = [];
  await client.query("BEGIN");
  for (const text of ["SELECT * FROM sales.internal", "SELECT 1"]) {
    await client.query(text).catch((error) => answers.failed.push(error.code));
  }
  await client.query("ROLLBACK");
  answers.failed.push(Number((await client.query("SELECT count(*) FROM customers")).rows[0].count));
  const several = await client.query("SELECT 1 AS n; SELECT count(*)::int AS n FROM customers");
  answers.several = several.map((result) => result.rows[0].n);
  const error = await client.query("SELECT * FROM sales.internal").catch((caught) => caught);
  answers.refused = { code: error.code, detail: error.detail };
  const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
  const found = await Promise.all(numbers.map(
    (id) => client.query("SELECT name FROM customers WHERE id = $1", [id])));
  answers.many = found.map((result) => result.rows[0].name);
  await client.end();
  answers.ended = true;
  console.log(JSON.stringify(answers));
}

main(process.argv[2]).catch((error) => { console.error(error); process.exit(1); });
