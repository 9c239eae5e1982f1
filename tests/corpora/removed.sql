-- The same database when the rest has really been removed.
drop rule secret_rule on crm.orders;
drop trigger secret_trigger on crm.customers;
drop function crm.secret_function();
drop statistics crm.secret_statistics;
drop sequence crm.secret_sequence;
drop schema secret_schema cascade;
drop view crm.secret_view;
drop materialized view crm.secret_summary;
drop table crm.secret_child;
alter table crm.orders drop secret_level cascade, drop secret_note cascade, drop secret_id cascade, drop amount_2;
drop table crm.secret_table cascade;
drop type crm.secret_level cascade;
drop domain crm.secret_code cascade;
alter table crm.customers drop household_income cascade, drop inferred_pregnancy_score cascade, drop attrs cascade;
alter table crm.web_visits drop ip cascade;
-- PostgreSQL clears the marks that there were children, triggers, indexes only now.
vacuum analyze;
