"""A small dealer's policy and tables: values that the tests of the ledger share."""

from __future__ import annotations

from proxy.policy.model import (
    AgeRule,
    Basis,
    Category,
    ColumnName,
    ColumnRule,
    Policy,
    Purpose,
    Read,
    RelationName,
    RelationRule,
    SourceRule,
    SubjectColumn,
    SubjectVia,
    Tool,
)

CUSTOMERS = RelationName("crm", "customers")
VIEWS = RelationName("web", "page_views")
ORDERS = RelationName("sales", "orders")
ITEMS = RelationName("sales", "order_items")
DEALERS = RelationName("ref", "dealers")

TABLES = """
CREATE SCHEMA crm; CREATE SCHEMA web; CREATE SCHEMA sales; CREATE SCHEMA ref;
CREATE TABLE crm.customers (id bigint PRIMARY KEY, email text, score real, secret_note text);
CREATE TABLE web.page_views (id bigint PRIMARY KEY, customer_id bigint, url text, source text,
  viewed_at timestamptz, ip inet);
CREATE TABLE sales.orders (id bigint PRIMARY KEY, customer_id bigint, total numeric);
CREATE TABLE sales.order_items (id bigint PRIMARY KEY, order_id bigint, sku text);
CREATE TABLE ref.dealers (id bigint PRIMARY KEY, city text);
CREATE TABLE crm.salaries (id bigint PRIMARY KEY, amount numeric);
"""

LIFE_EVENT = "user.inferred.life_event"


def make_policy(*extra: Purpose, basis: Basis = Basis.CONSENT) -> Policy:
    """The policy; `extra` purposes come last, `basis` is that of email_campaign."""
    purposes = (
        Purpose(name="service", basis=Basis.CONTRACT, reads=(Read(category="user.contact"),)),
        Purpose(name="email_campaign", basis=basis, reads=(Read(category="user.contact"),)),
        Purpose(
            name="personalisation",
            basis=Basis.CONSENT,
            reads=(Read(category="user.behavior"), Read(category="user.inferred")),
        ),
        Purpose(
            name="measurement",
            basis=Basis.LEGITIMATE_INTEREST,
            reads=(Read(category="user.behavior"), Read(category=LIFE_EVENT)),
        ),
        *extra,
    )
    columns = {
        CUSTOMERS: {
            "id": ColumnRule(),
            "email": ColumnRule(category="user.contact.email"),
            "score": ColumnRule(category=LIFE_EVENT),
        },
        VIEWS: {"url": ColumnRule(category="user.behavior.browsing_history")},
        ORDERS: {"total": ColumnRule(category="user.behavior.purchase_history")},
        ITEMS: {"sku": ColumnRule()},
    }
    relations = (
        RelationRule(name=CUSTOMERS, columns=columns[CUSTOMERS], subject=SubjectColumn("id")),
        RelationRule(
            name=VIEWS,
            columns=columns[VIEWS],
            subject=SubjectColumn("customer_id"),
            source=SourceRule(column="source", allow=("form",)),
            keep=AgeRule(column="viewed_at", seconds=7_776_000),
        ),
        RelationRule(name=ORDERS, columns=columns[ORDERS], subject=SubjectColumn("customer_id")),
        RelationRule(
            name=ITEMS,
            columns=columns[ITEMS],
            subject=SubjectVia("order_id", ColumnName(ORDERS, "id")),
        ),
        RelationRule(name=DEALERS, columns=None),
    )
    return Policy(
        name="dealership",
        version=1,
        categories={
            "user.contact.email": Category(name="user.contact.email"),
            LIFE_EVENT: Category(name=LIFE_EVENT, is_sensitive=True),
        },
        purposes={purpose.name: purpose for purpose in purposes},
        subject_key=ColumnName(CUSTOMERS, "id"),
        relations={rule.name: rule for rule in relations},
        functions=(),
        tools={"mailer": Tool(name="mailer", purposes=("email_campaign",))},
        revision="0" * 64,
    )


def as_role(url: str, role: str) -> str:
    """The URL of the same database for another role (the socket trusts everybody)."""
    return url.replace("postgres@", f"{role}@", 1)
