// What postgres.js gets from the database at the URL, as one JSON object.
"use strict";
const postgres = require("postgres");

async function main(url) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  const answers = {};
  answers.rows = await sql`
    SELECT id, email, income, visits, is_member, tags[1:1] AS tags, numbers, attributes, seen_at
      FROM customers WHERE id IN ${sql([3, 4])} ORDER BY id`;
  answers.prepared = [];
  for (const id of [1, 2, 3, 4, 5, 6]) {
    const [row] = await sql`SELECT email FROM customers WHERE id = ${id}`;
    answers.prepared.push(row.email.replace(/^p\d+/, "p2"));
  }
  answers.portions = { rows: 0, largest: 0 };
  for await (const rows of sql`SELECT id, total FROM sales.orders ORDER BY id`.cursor(700)) {
    answers.portions.rows += rows.length;
    answers.portions.largest = Math.max(answers.portions.largest, rows.length);
  }
  answers.failed = [];
  await sql.begin(async (transaction) => {
    for (const text of ["SELECT * FROM sales.internal", "SELECT 1"]) {
      await transaction.unsafe(text).catch((error) => answers.failed.push(error.code));
    }
    throw new Error("roll back");
  }).catch((error) => { if (!["42501", "25P02"].includes(error.code) && error.message !== "roll back") throw error; });
  answers.failed.push(Number((await sql`SELECT count(*) FROM customers`)[0].count));
  const several = await sql.unsafe("SELECT 1 AS n; SELECT count(*)::int AS n FROM customers");
  answers.several = several.map((rows) => rows[0].n);
  const error = await sql`SELECT * FROM sales.internal`.catch((caught) => caught);
  answers.refused = { code: error.code, detail: error.detail };
  const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
  const found = await Promise.all(numbers.map((id) => sql`SELECT name FROM customers WHERE id = ${id}`));
  answers.many = found.map((rows) => rows[0].name);
  await sql.end();
  answers.ended = true;
  console.log(JSON.stringify(answers));
}

main(process.argv[2]).catch((error) => { console.error(error); process.exit(1); });
