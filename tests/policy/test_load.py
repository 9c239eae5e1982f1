"""A policy folder is loaded as a whole or not at all, and every mistake is told in one run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.policy.load import load_policy
from proxy.policy.model import (
    AgeRule,
    Basis,
    ColumnName,
    ColumnRule,
    EmailMask,
    FunctionName,
    LastMask,
    NoSubject,
    Policy,
    PseudonymMask,
    Read,
    RelationName,
    SourceRule,
    SubjectAll,
    SubjectColumn,
    SubjectVia,
)
from proxy.policy.problem import PolicyErrors, Problem

Load = Callable[..., Policy]
ProblemsOf = Callable[..., tuple[Problem, ...]]

SMALL = """
policy: small
version: 1
categories:
  user.contact.email: {mask: email}
purposes:
  campaign: {basis: consent, reads: [user.contact]}
subject: {key: crm.people.id}
tables:
  crm.people: {subject: id, columns: {id: open, email: user.contact.email}}
tools:
  mailer: {purposes: [campaign]}
"""

PEOPLE = RelationName("crm", "people")


def _small_with(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


def test_the_dealerships_policy_says_what_its_files_say(dealership: Policy) -> None:
    assert dealership.name == "dealership"
    assert dealership.schemas == ("crm", "web", "sales", "ref")
    assert dealership.subject_key == ColumnName(RelationName("crm", "customers"), "id")
    assert dealership.purposes["email_campaign"].people == "consented"
    assert dealership.purposes["service_reminder"].basis is Basis.CONTRACT
    assert dealership.purposes["service_reminder"].exempt == {"quiet"}
    customers = dealership.relations[RelationName("crm", "customers")]
    assert customers.columns is not None
    assert customers.columns["phone"] == ColumnRule(
        category="user.contact.phone_number", mask=PseudonymMask()
    )
    assert dealership.categories["user.contact.phone_number"].mask == LastMask(4)
    views = dealership.relations[RelationName("web", "page_views")]
    assert views.source == SourceRule(column="source", allow=("first_party_form", "dealer_site"))
    assert views.keep == AgeRule(column="viewed_at", seconds=2160 * 3600)
    assert views.quiet == AgeRule(column="viewed_at", seconds=86_400)
    items = dealership.relations[RelationName("sales", "order_items")]
    assert items.subject == SubjectVia(
        "order_id", ColumnName(RelationName("sales", "orders"), "id")
    )
    assert dealership.relations[RelationName("ref", "dealers")].columns is None
    assert dealership.tools["site"].default == "personalisation"
    assert dealership.tools["mailer"].default == "email_campaign"


def test_a_tool_with_several_purposes_has_no_default_unless_it_says_so(load: Load) -> None:
    policy = load(
        _small_with("purposes:\n", "purposes:\n  other: {basis: contract, reads: []}\n").replace(
            "[campaign]", "[campaign, other]"
        )
    )
    assert policy.tools["mailer"].default is None


def test_names_are_folded_as_sql_folds_them_unless_they_are_quoted(load: Load) -> None:
    policy = load(
        _small_with(
            "tables:\n",
            """tables:
  '"Web"."Page Views"':
    subject: Customer_ID
    columns: {'"Id"': open, CUSTOMER_id: open}
""",
        )
    )
    rule = policy.relations[RelationName("Web", "Page Views")]
    assert rule.columns is not None
    assert list(rule.columns) == ["Id", "customer_id"]
    assert rule.subject == SubjectColumn("customer_id")


def test_consent_may_be_in_a_table_whose_subject_is_a_column(
    load: Load, problems_of: ProblemsOf
) -> None:
    policy = load(_small_with("{subject: id,", "{subject: id, consent: in_table,"))
    assert policy.relations[PEOPLE].is_consent_in_table
    assert (
        not load(_small_with("{subject: id,", "{subject: id, consent: ledger,"))
        .relations[PEOPLE]
        .is_consent_in_table
    )
    for subject in ("none", "{via: [id, crm.people.id]}", "{all: [id, id]}"):
        changed = _small_with(
            "tables:\n",
            "tables:\n  crm.calls:\n"
            f"    subject: {subject}\n    consent: in_table\n    columns: {{id: open}}\n",
        )
        (problem,) = problems_of(changed)
        assert problem.key == "tables.crm.calls.consent"
        assert "one of its own columns" in problem.message
    (problem,) = problems_of(_small_with("{subject: id,", "{subject: id, consent: here,"))
    assert "expected one of ledger, in_table" in problem.message


def test_what_people_agreed_to_can_not_be_listed_as_a_column(problems_of: ProblemsOf) -> None:
    changed = _small_with(
        "{subject: id, columns: {",
        "{subject: id, consent: in_table, columns: {consent_campaign: open, ",
    )
    (problem,) = problems_of(changed)
    assert problem.key == "tables.crm.people.columns.consent_campaign"


def test_a_reads_entry_may_have_a_mask_of_its_own(load: Load) -> None:
    policy = load(_small_with("[user.contact]", "[user.name, {user.contact.email: email}]"))
    assert policy.purposes["campaign"].reads == (
        Read(category="user.name"),
        Read(category="user.contact.email", mask=EmailMask()),
    )


def test_a_row_may_belong_to_several_people_and_a_column_may_be_called_none(load: Load) -> None:
    policy = load(
        _small_with(
            "tables:\n",
            """tables:
  crm.calls:
    subject: {all: [caller, {via: [callee_mail, crm.people.email]}, '"none"']}
    columns: {id: open}
  crm.log: {subject: none, columns: {id: open, who: user.name}}
""",
        )
    )
    assert policy.relations[RelationName("crm", "calls")].subject == SubjectAll(
        (
            SubjectColumn("caller"),
            SubjectVia("callee_mail", ColumnName(PEOPLE, "email")),
            SubjectColumn("none"),
        )
    )
    assert policy.relations[RelationName("crm", "log")].subject == NoSubject()


def test_functions_are_named_with_the_types_that_postgresql_prints(load: Load) -> None:
    policy = load(
        SMALL
        + "functions: ['crm.Margin(int, character  varying, timestamptz)', 'crm.f(int4[])', crm.now()]"
    )
    assert policy.functions == (
        FunctionName(
            schema="crm",
            name="margin",
            arguments=("integer", "character varying", "timestamp with time zone"),
        ),
        FunctionName(schema="crm", name="f", arguments=("integer[]",)),
        FunctionName(schema="crm", name="now", arguments=()),
    )


def test_a_policy_can_be_sent_to_a_worker_process(dealership: Policy) -> None:
    assert pickle.loads(pickle.dumps(dealership)) == dealership  # our own bytes


def test_test_files_hidden_files_and_folders_are_not_part_of_a_policy(
    write_policy: Callable[..., Path],
) -> None:
    folder = write_policy(SMALL)
    (folder / "policy.test.yaml").write_text("nonsense: [", encoding="utf-8")
    (folder / ".#policy.yaml").write_text("nonsense: [", encoding="utf-8")
    (folder / "more.yaml").mkdir()
    assert load_policy(folder).name == "small"


# --- the revision ----------------------------------------------------------------------------


def test_the_revision_does_not_hang_on_how_a_policy_is_written(load: Load) -> None:
    split = {
        "a": "policy: small\nversion: 1\nsubject: {key: CRM.People.ID}\n",
        "b": "# a comment\ncategories:\n  user.contact.email:\n    mask: 'email'\n",
        "c": "tools: {mailer: {default: campaign, purposes: [campaign]}}\n",
        "d": "purposes: {campaign: {reads: [user.contact], basis: consent, people: all}}\n",
        "policy": 'tables: {CRM."people": {columns: {email: {category: user.contact.email}, id: '
        "open}, subject: id}}\n",
    }
    first = load(SMALL).revision
    assert len(first) == 64
    assert load(**split).revision == first


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("mask: email", "mask: email_domain"),
        ("mask: email", "mask: email, sensitive: true"),
        ("basis: consent", "basis: contract"),
        ("basis: consent", "people: consented, basis: consent"),
        ("[user.contact]", "[user]"),
        ("[user.contact]", '[user.contact: "null"]'),
        ("email: user.contact.email", "email: open"),
        ("id: open", "id: {category: user.name, type: bigint}"),
        ("subject: id,", ""),
        ("{purposes: [campaign]}", "{purposes: [campaign]}\n  other: {purposes: [campaign]}"),
    ],
)
def test_the_revision_names_everything_that_a_policy_says(load: Load, old: str, new: str) -> None:
    assert load(_small_with(old, new)).revision != load(SMALL).revision


def test_the_order_of_tables_is_a_search_path_and_belongs_to_the_revision(load: Load) -> None:
    one = load(_small_with("tables:\n", "tables:\n  web.a: open\n")).revision
    two = load(_small_with("tools:\n", "  web.a: open\ntools:\n")).revision
    assert one != two


# --- mistakes --------------------------------------------------------------------------------

NOT_YET = "not available in this version"
TABLES = "tables:\n"
TABLE = "tables:\n  crm.t: {columns: {id: open}, "

# A table reads as a table:
# ruff: noqa: E501
# fmt: off
MISTAKES = [
    # What is there is not known.
    ("an unknown section", "policy: small", "polcy: x\npolicy: small", "polcy", "did you mean policy"),
    ("an unknown key", "mask: email", "maks: email", "categories.user.contact.email.maks", "unknown key"),
    ("an unknown mask", "mask: email", "mask: hash", "categories.user.contact.email.mask", "unknown mask"),
    ("null without quotes", "mask: email", "mask: null", "categories.user.contact.email.mask", '"null"'),
    ("an unknown basis", "basis: consent", "basis: yes", "purposes.campaign.basis", "legitimate_interest"),
    ("a number for a word", "basis: consent", "basis: 1", "purposes.campaign.basis", "expected one of"),
    ("no basis", "basis: consent, ", "", "purposes.campaign", "the key basis is missing"),
    ("no reads", ", reads: [user.contact]", "", "purposes.campaign", "the key reads is missing"),
    ("people by another word", "basis: consent", "basis: consent, people: some", "purposes.campaign.people", "all, consented"),
    ("an unknown row rule", "basis: consent", "basis: consent, exempt: [masks]", "purposes.campaign.exempt.[1]", "source, keep, quiet"),
    ("reads that is no list", "[user.contact]", "user.contact", "purposes.campaign.reads", "expected a list"),
    ("a category twice", "[user.contact]", "[user.contact, user.contact: email]", "purposes.campaign.reads.[2]", "listed twice"),
    ("two categories in one entry", "[user.contact]", "[{user.name: initial, user.contact: email}]", "purposes.campaign.reads.[1]", "expected a category"),
    ("a category called open", "[user.contact]", "[open]", "purposes.campaign.reads.[1]", "key of a category"),
    ("a purpose that reads what it drops", "[user.contact]", "[user.contact: drop]", "purposes.campaign.reads.[1].user.contact", '"null"'),
    ("sensitive by a word", "mask: email", "sensitive: often", "categories.user.contact.email.sensitive", "true or false"),
    ("a hole in sensitivity", "categories:\n", "categories:\n  user: {sensitive: true}\n  user.x: {sensitive: false}\n", "categories.user.x.sensitive", "everything below user is sensitive"),
    # Tools.
    ("a purpose that is not there", "[campaign]", "[camppaign]", "tools.mailer.purposes.[1]", "no purpose 'camppaign'"),
    ("a tool without purposes", "[campaign]", "[]", "tools.mailer.purposes", "at least one"),
    ("a default beyond the tool", "[campaign]", "[campaign], default: other", "tools.mailer.default", "own purposes"),
    ("a purpose twice", "[campaign]", "[campaign, campaign]", "tools.mailer.purposes.[2]", "listed twice"),
    ("a tool with an unfit name", "mailer:", "ma@iler:", "tools.ma@iler", "tool's name"),
    ("a purpose with an unfit name", "  campaign:", "  a b: {basis: contract, reads: []}\n  campaign:", "purposes.a b", "purpose's name"),
    # Tables and columns.
    ("a table without a schema", TABLES, "tables:\n  people: open\n", "tables.people", "schema.table"),
    ("a table of the system", TABLES, "tables:\n  pg_catalog.pg_authid: open\n", "tables.pg_catalog.pg_authid", "can not be named"),
    ("a table of the ledger", TABLES, "tables:\n  consent.event: open\n", "tables.consent.event", "can not be named"),
    ("a table that is closed", TABLES, "tables:\n  crm.t: closed\n", "tables.crm.t", "`open`"),
    ("a table without columns", TABLES, "tables:\n  crm.t: {subject: id}\n", "tables.crm.t", "columns is missing"),
    ("a table with no column", TABLES, "tables:\n  crm.t: {columns: {}}\n", "tables.crm.t.columns", "at least one"),
    ("the same table written twice", TABLES, "tables:\n  CRM.People: open\n", "tables.crm.people", "already there"),
    ("the same column written twice", "id: open,", "id: open, ID: open,", "tables.crm.people.columns.ID", "already there"),
    ("a column of a mask alone", "id: open,", "id: {mask: email},", "tables.crm.people.columns.id", "category is missing"),
    ("an open column with a mask", "id: open,", "id: {category: open, mask: email},", "tables.crm.people.columns.id.mask", "open column"),
    ("a column that says nothing", "id: open,", "id: ,", "tables.crm.people.columns.id", "expected `open`"),
    ("a qualified column", "id: open,", "people.id: open,", "tables.crm.people.columns.people.id", "name of a column"),
    # Row rules.
    ("a source without a list", TABLES, TABLE + "source: {column: s}}\n", "tables.crm.t.source", "allow is missing"),
    ("a source with an empty list", TABLES, TABLE + "source: {column: s, allow: []}}\n", "tables.crm.t.source.allow", "at least one"),
    ("a source that is a number", TABLES, TABLE + "source: {column: s, allow: [7]}}\n", "tables.crm.t.source.allow.[1]", "quotes"),
    ("a duration without a unit", TABLES, TABLE + "keep: {column: t, for: 90}}\n", "tables.crm.t.keep.for", "90d"),
    ("a duration of a calendar month", TABLES, TABLE + "keep: {column: t, for: 3mo}}\n", "tables.crm.t.keep.for", "90d"),
    ("a zone that is not there", TABLES, TABLE + "quiet: {column: t, for: 1d, zone: Europe/Madriz}}\n", "tables.crm.t.quiet.zone", "time zone"),
    ("a zone by abbreviation", TABLES, TABLE + "quiet: {column: t, for: 1d, zone: CET}}\n", "tables.crm.t.quiet.zone", "time zone"),
    ("a zone beyond the zones", TABLES, TABLE + "quiet: {column: t, for: 1d, zone: ../x}}\n", "tables.crm.t.quiet.zone", "time zone"),
    # Subjects.
    ("no data subject", "subject: {key: crm.people.id}\n", "", "tables.crm.people.subject", "names no data subject"),
    ("a key without a table", "crm.people.id}", "id}", "subject.key", "schema.table.column"),
    ("via without a target", TABLES, TABLE + "subject: {via: [a]}}\n", "tables.crm.t.subject.via", "[column, schema.table.column]"),
    ("via and all", TABLES, TABLE + "subject: {via: [a, crm.people.id], all: [a]}}\n", "tables.crm.t.subject", "expected a column"),
    ("all of nobody", TABLES, TABLE + "subject: {all: []}}\n", "tables.crm.t.subject.all", "from 1 to 8"),
    ("all with none in it", TABLES, TABLE + "subject: {all: [id, none]}}\n", "tables.crm.t.subject.all.[2]", "expected a column"),
    ("a way to a table that is not there", TABLES, TABLE + "subject: {via: [a, crm.x.id]}}\n", "tables.crm.t.subject", "not in the policy"),
    ("a way to a table of nobody", TABLES, "tables:\n  ref.d: open\n  crm.t: {columns: {id: open}, subject: {via: [a, ref.d.id]}}\n", "tables.crm.t.subject", "has no subject"),
    ("a way that leads back", TABLES, TABLE + "subject: {via: [a, crm.t.id]}}\n", "tables.crm.t.subject", "leads back"),
    # Functions.
    ("a function without types", TABLES, "functions: [crm.f]\ntables:\n", "functions.[1]", "schema.name(types)"),
    ("a function without a schema", TABLES, "functions: ['f(text)']\ntables:\n", "functions.[1]", "schema.name(types)"),
    ("a function that runs SQL", TABLES, "functions: ['pg_catalog.query_to_xml(text)']\ntables:\n", "functions.[1]", "can not be named"),
    # Keys of later versions are not passed over.
    ("groups only", "basis: consent", "basis: consent, aggregate: {min_subjects: 20}", "purposes.campaign.aggregate", NOT_YET),
    ("consent in another table", "crm.people.id}", "crm.people.id, consent: {table: crm.p, subject: id}}", "subject.consent", NOT_YET),
    ("an account", "policy: small", "account: {}\npolicy: small", "account", NOT_YET),
    # YAML.
    ("no name", "policy: small\n", "", "policy", "no file has the key"),
    ("a version by name", "version: 1", "version: one", "version", "whole number"),
    ("a key twice", "version: 1", "version: 1\nversion: 1", "version", "already there"),
    ("a merge key", "  mailer: {", "  mailer: {<<: {default: campaign}, ", "tools.mailer", "key that is text"),
    ("a tag", "policy: small", "policy: !env small", "policy", "has no meaning"),
    ("a hexadecimal number", "version: 1", "version: 0x1", "version", "quotes"),
]
# fmt: on


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [mistake[1:] for mistake in MISTAKES],
    ids=[mistake[0] for mistake in MISTAKES],
)
def test_a_mistake_is_told_with_file_line_key_and_what_was_expected(
    problems_of: ProblemsOf, old: str, new: str, key: str, message: str
) -> None:
    problems = problems_of(_small_with(old, new))
    matching = [p for p in problems if p.key == key and message in p.message]
    assert matching, "\n".join(map(str, problems))
    assert Path(matching[0].file).name in ("policy.yaml", "policy")
    assert matching[0].line > 0 or "no file has" in message


def test_the_line_is_that_of_the_key(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(SMALL.replace("basis: consent", "basis: mood"))
    assert (
        problem.line
        == SMALL.splitlines().index("  campaign: {basis: consent, reads: [user.contact]}") + 1
    )
    assert str(problem).startswith(
        f"{problem.file}:{problem.line}: error: purposes.campaign.basis: "
    )


def test_every_mistake_of_every_file_is_told_in_one_run(problems_of: ProblemsOf) -> None:
    problems = problems_of(
        a="policy: x\nversion: 0\ncategories:\n  user.name: {mask: hash}\n",
        b="tables:\n  t: open\n  crm.t: {columns: {id: }}\n",
        c="purposes:\n  p: {basis: consent, reads: [a b]}\n",
        d="tools: [\n",
        e="tools:\n  m: {purposes: [q]}\n",
    )
    assert [(Path(p.file).stem, p.line, p.key) for p in problems] == [
        ("a", 2, "version"),
        ("a", 4, "categories.user.name.mask"),
        ("b", 2, "tables.t"),
        ("b", 3, "tables.crm.t.columns.id"),
        ("c", 2, "purposes.p.reads.[1]"),
        ("d", 2, ""),
        ("e", 2, "tools.m.purposes.[1]"),
    ]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("tables: {CRM.people: open}", "tables.crm.people"),
        ("purposes: {campaign: {basis: contract, reads: []}}", "purposes.campaign"),
        ("categories: {user.contact.email: {}}", "categories.user.contact.email"),
        ("tools: {mailer: {purposes: [campaign]}}", "tools.mailer"),
        ("subject: {key: crm.people.id}", "subject"),
        ("policy: other", "policy"),
    ],
)
def test_the_same_key_in_two_files_names_both_places(
    problems_of: ProblemsOf, text: str, key: str
) -> None:
    problems = problems_of(SMALL, second=text)
    ours = [problem for problem in problems if "already there" in problem.message]
    assert len(ours) == 1
    assert Path(ours[0].file).name == "second.yaml"
    assert ours[0].key.lower() == key
    assert "policy.yaml:" in ours[0].message


def test_a_person_is_at_most_four_tables_away(load: Load, problems_of: ProblemsOf) -> None:
    def chain(length: int) -> str:
        tables = "tables:\n  crm.t0: {subject: {via: [p, crm.people.id]}, columns: {id: open}}\n"
        for hop in range(1, length):
            tables += f"  crm.t{hop}: {{subject: {{via: [p, crm.t{hop - 1}.id]}}, columns: {{id: open}}}}\n"
        return _small_with(TABLES, tables)

    assert len(load(chain(4)).relations) == 5
    (problem,) = problems_of(chain(5))
    assert (problem.key, problem.message) == ("tables.crm.t4.subject", "is more than 4 tables away")


def test_tables_that_lead_to_each_other_lead_to_nobody(problems_of: ProblemsOf) -> None:
    problems = problems_of(
        _small_with(
            TABLES,
            """tables:
  crm.a: {subject: {via: [b, crm.b.id]}, columns: {id: open}}
  crm.b: {subject: {all: [id, {via: [a, crm.a.id]}]}, columns: {id: open}}
""",
        )
    )
    assert [problem.key for problem in problems] == ["tables.crm.a.subject", "tables.crm.b.subject"]


def test_a_row_leads_to_at_most_sixteen_people(problems_of: ProblemsOf) -> None:
    five = "{all: [a, b, c, d, e]}"
    four_ways = ", ".join(["{via: [x, crm.five.id]}"] * 4)
    problems = problems_of(
        _small_with(
            TABLES,
            f"""tables:
  crm.five: {{subject: {five}, columns: {{id: open}}}}
  crm.many: {{subject: {{all: [{four_ways}]}}, columns: {{id: open}}}}
""",
        )
    )
    assert [problem.key for problem in problems] == ["tables.crm.many.subject"]
    assert "20 subjects" in problems[0].message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"policy: small\nversion: \xff\n", "expected UTF-8"),
        (b"policy: a\n---\npolicy: b\n", "another document"),
        (b"policy: [\n", "not YAML 1.2"),
        (b"- policy\n", "expected a mapping"),
        (b"policy: &a [*a]\n", "holds itself"),
        (b"policy: *nothing\n", "undefined alias"),
        (b"policy: " + b"[" * 3000, "YAML|nested"),
        (b"policy: \x01\n", "YAML"),
    ],
)
def test_what_is_not_yaml_is_a_problem_and_never_a_crash(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "policy.yaml").write_bytes(content)
    with pytest.raises(PolicyErrors, match=message):
        load_policy(tmp_path)


def test_a_folder_that_is_empty_or_missing_or_misnamed_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyErrors, match="expected a folder"):
        load_policy(tmp_path / "missing")
    with pytest.raises(PolicyErrors, match="at least one"):
        load_policy(tmp_path)
    (tmp_path / "policy.yml").write_text(SMALL, encoding="utf-8")
    with pytest.raises(PolicyErrors, match="rename this one"):
        load_policy(tmp_path)


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    (tmp_path / "policy.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(PolicyErrors):
        load_policy(tmp_path)
