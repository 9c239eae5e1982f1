"""Statements that fill the dealer's tables for customers $1 to $2; $3 is the last id taken before.

Every value is a function of its row and the seed, computed by PostgreSQL.
"""

from __future__ import annotations

from typing import Final

from proxy.demo import pools
from proxy.demo.pools import Names, literal, pick, share, whole

# The first customers are the demo's cast: whatever the seed, somebody withdrew, somebody was here
# an hour ago, and somebody never answered.
CAST: Final = 20

_DAY_S: Final = 86_400


def functions(seed: int, now: str) -> str:
    """The temporary functions that the statements use; `now` is the instant all times refer to."""
    return f"""
    CREATE FUNCTION pg_temp.share(i bigint, salt bigint) RETURNS double precision
      LANGUAGE sql IMMUTABLE PARALLEL SAFE
      RETURN (hashint8extended(i, salt + {seed}::bigint * 4294967296)
              & 9007199254740991)::double precision / 9007199254740992;
    CREATE FUNCTION pg_temp.moment() RETURNS timestamptz
      LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN {literal(now)}::timestamptz;
    """


def dealers() -> str:
    rows = ", ".join(
        f"({number}, {literal(name)}, {literal(city)})"
        for number, (name, city) in enumerate(pools.DEALERS, start=1)
    )
    return f"INSERT INTO ref.dealers (id, name, city) VALUES {rows}"


def customers(names: Names) -> str:
    first = pick(names.first_slugs, "i", "first name")
    last = pick(names.last_slugs, "i", "last name")
    years = f"(18 + 62 * {share('i', 'age')})"
    return f"""
    INSERT INTO crm.customers
    SELECT i,
           {pick(names.first, "i", "first name")} || ' ' || {pick(names.last, "i", "last name")},
           CASE WHEN i <= {CAST} OR {share("i", "has email")} < 0.97
                THEN {first} || '.' || {last} || i || '@'
                     || {pick(("example.com", "example.org", "example.net"), "i", "domain")} END,
           CASE WHEN {share("i", "has phone")} < 0.9
                THEN '+34 6' || lpad({whole("i", "phone", 100_000_000)}::text, 8, '0') END,
           CASE WHEN {share("i", "has birth date")} < 0.95
                THEN (pg_temp.moment() AT TIME ZONE 'UTC')::date
                     - ({years} * 365.25)::integer END,
           lpad((1 + {whole("i", "province", 52)})::text, 2, '0')
             || lpad({whole("i", "district", 1000)}::text, 3, '0'),
           CASE WHEN {share("i", "has score")} < 0.8
                THEN round((power({share("i", "expecting")}, 3))::numeric, 4)::double precision END,
           pg_temp.moment() - {share("i", "created")} * interval '2920 days'
      FROM generate_series($1::bigint, $2::bigint) AS i
    """


def vehicles() -> str:
    row = "(c.i * 8 + k)"
    count = f"CASE WHEN c.i <= {CAST} THEN 1 ELSE width_bucket({share('c.i', 'cars')}, "
    count += "ARRAY[0.15, 0.82, 0.96]) END"
    return f"""
    INSERT INTO crm.vehicles
    SELECT $3::bigint + row_number() OVER (ORDER BY c.i, k), c.i,
           'VSS' || upper(lpad(to_hex({whole(row, "vin", 16_777_216)}), 6, '0'))
                 || lpad({row}::text, 8, '0'),
           {pick(pools.MODELS, row, "model")},
           (pg_temp.moment() AT TIME ZONE 'UTC')::date - {whole(row, "registered", 5000)},
           {whole(row, "mileage", 180_000)}
      FROM generate_series($1::bigint, $2::bigint) AS c(i),
           generate_series(1, {count}) AS k
    """


def service_visits() -> str:
    """$1 and $2 are vehicles here."""
    row = "(v.id * 16 + k)"
    return f"""
    INSERT INTO crm.service_visits
    SELECT $3::bigint + row_number() OVER (ORDER BY v.id, k), v.id,
           1 + {whole(row, "dealer", len(pools.DEALERS))},
           pg_temp.moment() - {share(row, "visited")} * interval '1800 days',
           {pick(pools.WORKS, row, "work")},
           round((40 + 1400 * power({share(row, "cost")}, 3))::numeric, 2)
      FROM crm.vehicles AS v,
           generate_series(1, {whole("v.id", "visits", 5)}) AS k
     WHERE v.id BETWEEN $1::bigint AND $2::bigint
    """


def chat_transcripts() -> str:
    return f"""
    INSERT INTO crm.chat_transcripts
    SELECT $3::bigint + row_number() OVER (ORDER BY i), i,
           pg_temp.moment() - {share("i", "chatted")} * interval '720 days',
           {pick(pools.TRANSCRIPTS, "i", "transcript")},
           round((2 * {share("i", "sentiment")} - 1)::numeric, 3)::real,
           {pick(("dealer_site", "telephone"), "i", "chat source")}
      FROM generate_series($1::bigint, $2::bigint) AS i
     WHERE {share("i", "chats")} < 0.25
    """


def scores() -> str:
    return f"""
    INSERT INTO crm.scores
    SELECT i,
           round({share("i", "churn")}::numeric, 4)::real,
           CASE WHEN power({share("i", "expecting")}, 3) > 0.7
                THEN {literal(pools.LIFE_EVENTS[0])}
                WHEN {share("i", "has life event")} < 0.2
                THEN {pick(pools.LIFE_EVENTS[1:], "i", "life event")} END,
           round((80000 * power({share("i", "value")}, 4))::numeric, 2),
           pg_temp.moment() - {share("i", "computed")} * interval '30 days'
      FROM generate_series($1::bigint, $2::bigint) AS i
    """


def page_views() -> str:
    row = "(c.i * 64 + k)"
    is_cast = f"c.i <= {CAST}"
    count = f"CASE WHEN {is_cast} THEN 6 ELSE floor(14 * power({share('c.i', 'views')}, 1.7)) END"
    # Some of today, most of the last quarter, and some that should be gone by now. Of the cast,
    # the first view is of an hour or so ago and the next two are of last week.
    age_s = f"""
        CASE WHEN {is_cast} AND k = 1 THEN 1800 + 3600 * {share(row, "now")}
             WHEN {is_cast} AND k <= 3 THEN {2 * _DAY_S} + {5 * _DAY_S} * {share(row, "then")}
             WHEN {share(row, "when")} < 0.06 THEN {_DAY_S} * {share(row, "age")}
             WHEN {share(row, "when")} < 0.75 THEN {_DAY_S} * (1 + 89 * {share(row, "age")})
             ELSE {_DAY_S} * (90 + 310 * {share(row, "age")}) END"""
    weighted = ("first_party_form",) * 4 + ("dealer_site",) * 9 + ("chat",) + ("bought_list",) * 2
    source = f"""
        CASE WHEN {is_cast} AND k <= 3 THEN 'dealer_site'
             WHEN {is_cast} AND k = 4 THEN 'bought_list'
             ELSE {pick((*weighted, *("site_tracking",) * 4), row, "source")} END"""
    address = f"""
        CASE WHEN {share(row, "family")} < 0.8
             THEN {pick(("203.0.113.", "198.51.100.", "192.0.2."), "c.i", "net")}
                  || (1 + {whole("c.i", "host", 254)})
             ELSE '2001:db8:' || to_hex({whole("c.i", "net6", 65536)}) || '::'
                  || to_hex(1 + {whole(row, "host6", 65535)}) END"""
    return f"""
    INSERT INTO web.page_views
    SELECT $3::bigint + row_number() OVER (ORDER BY c.i, k),
           CASE WHEN NOT ({is_cast}) AND {share(row, "is known")} < 0.12 THEN NULL ELSE c.i END,
           {pick(pools.PAGES, row, "page")},
           ({address})::inet,
           {source},
           pg_temp.moment() - {age_s} * interval '1 second'
      FROM generate_series($1::bigint, $2::bigint) AS c(i),
           generate_series(1, ({count})::integer) AS k
    """


def orders() -> str:
    row = "(c.i * 8 + k)"
    amount = f"""
        CASE WHEN {share(row, "kind")} < 0.3 THEN 12000 + 38000 * power({share(row, "total")}, 2)
             ELSE 20 + 1500 * power({share(row, "total")}, 3) END"""
    return f"""
    INSERT INTO sales.orders
    SELECT $3::bigint + row_number() OVER (ORDER BY c.i, k), c.i,
           round(({amount})::numeric, 2),
           pg_temp.moment() - {share(row, "ordered")} * interval '1460 days'
      FROM generate_series($1::bigint, $2::bigint) AS c(i),
           generate_series(1, width_bucket({share("c.i", "orders")}, ARRAY[0.25, 0.65, 0.9])) AS k
    """


def order_items() -> str:
    """$1 and $2 are orders here. The prices of an order's items add up to its total."""
    row = "(o.id * 8 + k)"
    return f"""
    INSERT INTO sales.order_items
    SELECT $3::bigint + row_number() OVER (ORDER BY o.id, k), o.id,
           {pick(pools.SKUS, row, "sku")},
           1,
           CASE WHEN k = 1 THEN o.total - (n - 1) * round(o.total / 10, 2)
                ELSE round(o.total / 10, 2) END
      FROM sales.orders AS o,
           LATERAL (SELECT 1 + {whole("o.id", "items", 3)} AS n) AS count,
           generate_series(1, n) AS k
     WHERE o.id BETWEEN $1::bigint AND $2::bigint
    """


def consent_events() -> str:
    """Histories of customers $1 to $2, recorded when they happened, for the ledger's own tables.

    Each customer falls into one story per purpose; the cast's stories are fixed.
    """
    cast_stories = ("given", "withdrawn", "silent", "expired", "given", "given", "again", "refused")
    email = _story("email", cast_stories, ((0.44, "given"), (0.59, "withdrawn"), (0.68, "expired"),
                                           (0.74, "refused"), (0.78, "again")))  # fmt: skip
    personal = _story(
        "personalisation",
        ("given", "given", "silent", "named", "named", "given", "withdrawn", "silent"),
        ((0.20, "given"), (0.34, "named"), (0.42, "withdrawn"), (0.46, "expired")),
    )
    legitimate = _story("measurement", ("silent",) * 4 + ("objected",) + ("silent",) * 3,
                        ((0.06, "objected"),))  # fmt: skip
    everything = _story("everything", ("silent",) * 5 + ("restricted",) + ("silent",) * 2,
                        ((0.004, "restricted"),))  # fmt: skip
    # story, number, state, days ago that it happened, days it lasts, the category it names
    return f"""
    INSERT INTO consent.event (subject_id, purpose, categories, state, at, until, source, notice,
                               recorded_by, recorded_at, idempotency_key, request_hash)
    SELECT c.i, s.purpose, e.categories, e.state,
           h.at, CASE WHEN e.lasts IS NOT NULL THEN h.at + e.lasts * interval '24 hours' END,
           {pick(pools.CHANNELS, "(c.i * 8 + s.n)", "channel")},
           {pick(pools.NOTICES, "(c.i * 8 + s.n)", "notice")},
           'import', h.at + interval '2 seconds',
           h.key, encode(sha256(convert_to(h.key, 'UTF8')), 'hex')
      FROM generate_series($1::bigint, $2::bigint) AS c(i),
           LATERAL (VALUES (1, 'email_campaign', {email}), (2, 'personalisation', {personal}),
                           (3, 'measurement', {legitimate}), (4, NULL, {everything})
                   ) AS s (n, purpose, story)
      JOIN (VALUES
             ('given', 1, 'given', 400, NULL, '{{}}'),
             ('given', 2, 'given', 30, 730, '{{}}'),
             ('named', 1, 'given', 200, NULL, '{{user.inferred.life_event}}'),
             ('withdrawn', 1, 'given', 500, NULL, '{{}}'),
             ('withdrawn', 2, 'withdrawn', 20, NULL, '{{}}'),
             ('again', 1, 'given', 600, NULL, '{{}}'),
             ('again', 2, 'withdrawn', 300, NULL, '{{}}'),
             ('again', 3, 'given', 15, NULL, '{{}}'),
             ('expired', 1, 'given', 420, 365, '{{}}'),
             ('refused', 1, 'refused', 90, NULL, '{{}}'),
             ('objected', 1, 'objected', 60, NULL, '{{}}'),
             ('restricted', 1, 'restricted', 10, NULL, '{{}}')
           ) AS e (story, number, state, days, lasts, named) ON e.story = s.story,
           LATERAL (SELECT e.named::text[] AS categories) AS n (categories),
           LATERAL (SELECT pg_temp.moment() - (e.days + 8 * {share("(c.i * 8 + s.n)", "when")})
                                              * interval '24 hours' AS at,
                           'demo:' || c.i || ':' || s.n || ':' || e.number AS key) AS h
     ORDER BY h.at, c.i
    """.replace("e.categories", "n.categories")


def _story(what: str, cast: tuple[str, ...], bounds: tuple[tuple[float, str], ...]) -> str:
    cases = " ".join(
        f"WHEN {share('c.i', f'story {what}')} < {bound} THEN {literal(story)}"
        for bound, story in bounds
    )
    fixed = " ".join(
        f"WHEN c.i = {number} THEN {literal(story)}" for number, story in enumerate(cast, start=1)
    )
    return f"CASE {fixed} {cases} ELSE 'silent' END"
