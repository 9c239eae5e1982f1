"""The dealer's database: what `crm` looks like before anybody thinks of consent."""

from __future__ import annotations

from typing import Final

SCHEMAS: Final = ("crm", "web", "sales", "ref")

# Made before the rows. The two keys with an index from the start are looked up while filling.
TABLES: Final = """
CREATE SCHEMA crm;
CREATE SCHEMA web;
CREATE SCHEMA sales;
CREATE SCHEMA ref;

CREATE TABLE ref.dealers (
    id integer NOT NULL,
    name text NOT NULL,
    city text NOT NULL
);
CREATE TABLE crm.customers (
    id bigint NOT NULL,
    full_name text NOT NULL,
    email varchar(254),
    phone varchar(64),
    birth_date date,
    postal_code varchar(10),
    expecting_score double precision,
    created_at timestamptz NOT NULL
);
CREATE TABLE crm.vehicles (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    vin varchar(17) NOT NULL,
    model text NOT NULL,
    registered_on date,
    mileage_km integer
);
CREATE TABLE crm.service_visits (
    id bigint NOT NULL,
    vehicle_id bigint NOT NULL,
    dealer_id integer NOT NULL,
    visited_at timestamptz NOT NULL,
    work text,
    cost numeric(10,2)
);
CREATE TABLE crm.chat_transcripts (
    id bigint NOT NULL,
    customer_id bigint NOT NULL,
    started_at timestamptz NOT NULL,
    transcript text NOT NULL,
    sentiment real,
    source text
);
CREATE TABLE crm.scores (
    customer_id bigint NOT NULL,
    churn_risk real,
    life_event text,
    lifetime_value numeric(12,2),
    computed_at timestamptz NOT NULL
);
CREATE TABLE web.page_views (
    id bigint NOT NULL,
    customer_id bigint,
    url text NOT NULL,
    ip inet,
    source text NOT NULL,
    viewed_at timestamptz NOT NULL
);
CREATE TABLE sales.orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    total numeric(12,2) NOT NULL,
    ordered_at timestamptz NOT NULL
);
CREATE TABLE sales.order_items (
    id bigint NOT NULL,
    order_id bigint NOT NULL,
    sku text NOT NULL,
    quantity integer NOT NULL,
    price numeric(10,2) NOT NULL
);
"""

# Made after the rows: a tenth of the time. Each is one step of the progress bar.
CONSTRAINTS: Final = (
    "ALTER TABLE ref.dealers ADD PRIMARY KEY (id)",
    "ALTER TABLE crm.customers ADD PRIMARY KEY (id)",
    "ALTER TABLE crm.service_visits ADD PRIMARY KEY (id)",
    "ALTER TABLE crm.chat_transcripts ADD PRIMARY KEY (id)",
    "ALTER TABLE crm.scores ADD PRIMARY KEY (customer_id)",
    "ALTER TABLE web.page_views ADD PRIMARY KEY (id)",
    "ALTER TABLE sales.order_items ADD PRIMARY KEY (id)",
    "ALTER TABLE crm.vehicles ADD FOREIGN KEY (customer_id) REFERENCES crm.customers",
    "ALTER TABLE crm.service_visits ADD FOREIGN KEY (vehicle_id) REFERENCES crm.vehicles",
    "ALTER TABLE crm.service_visits ADD FOREIGN KEY (dealer_id) REFERENCES ref.dealers",
    "ALTER TABLE crm.chat_transcripts ADD FOREIGN KEY (customer_id) REFERENCES crm.customers",
    "ALTER TABLE crm.scores ADD FOREIGN KEY (customer_id) REFERENCES crm.customers",
    "ALTER TABLE web.page_views ADD FOREIGN KEY (customer_id) REFERENCES crm.customers",
    "ALTER TABLE sales.orders ADD FOREIGN KEY (customer_id) REFERENCES crm.customers",
    "ALTER TABLE sales.order_items ADD FOREIGN KEY (order_id) REFERENCES sales.orders",
    "CREATE INDEX ON crm.customers (email)",
    "CREATE INDEX ON crm.customers (postal_code)",
    "CREATE UNIQUE INDEX ON crm.vehicles (vin)",
    "CREATE INDEX ON crm.vehicles (customer_id)",
    "CREATE INDEX ON crm.service_visits (vehicle_id)",
    "CREATE INDEX ON crm.service_visits (visited_at)",
    "CREATE INDEX ON crm.chat_transcripts (customer_id)",
    "CREATE INDEX ON web.page_views (customer_id, viewed_at)",
    "CREATE INDEX ON web.page_views (viewed_at)",
    "CREATE INDEX ON sales.orders (customer_id)",
    "CREATE INDEX ON sales.orders (ordered_at)",
    "CREATE INDEX ON sales.order_items (order_id)",
)

COMMENTS: Final = """
COMMENT ON SCHEMA crm IS 'Customers, their cars, and what was said and guessed about them';
COMMENT ON SCHEMA web IS 'The web site';
COMMENT ON SCHEMA sales IS 'What was sold';
COMMENT ON SCHEMA ref IS 'Lists without people in them';
COMMENT ON TABLE crm.customers IS 'One row per person: the data subjects';
COMMENT ON COLUMN crm.customers.expecting_score IS
    'Guessed from page views: how likely a child is expected. Nobody told us.';
COMMENT ON COLUMN crm.customers.postal_code IS 'Of the home address';
COMMENT ON TABLE crm.vehicles IS 'Cars, by owner';
COMMENT ON COLUMN crm.vehicles.vin IS 'Vehicle identification number, ISO 3779';
COMMENT ON TABLE crm.service_visits IS 'A car in a workshop; the person is the owner of the car';
COMMENT ON TABLE crm.chat_transcripts IS 'What people wrote to us, word for word';
COMMENT ON COLUMN crm.chat_transcripts.sentiment IS 'Guessed: from -1 (angry) to 1 (delighted)';
COMMENT ON TABLE crm.scores IS 'What a model makes of a person';
COMMENT ON COLUMN crm.scores.life_event IS 'Guessed';
COMMENT ON TABLE web.page_views IS 'Pages seen; customer_id is NULL for visitors nobody knows';
COMMENT ON COLUMN web.page_views.source IS
    'Where the row came from: first_party_form, dealer_site, chat, bought_list, site_tracking';
COMMENT ON TABLE sales.orders IS 'Cars, parts and accessories';
COMMENT ON TABLE sales.order_items IS 'What an order is made of';
COMMENT ON TABLE ref.dealers IS 'Our houses';
"""
