-- The database that the captured tools were pointed at, with fewer rows, no clock, and nothing but
-- what the policy names: no sequences, no schema public.
drop schema public;
create schema crm;
create type crm.channel as enum ('email','sms','phone','web','showroom');
create table crm.customers(
 customer_id bigint primary key, full_name text not null, email varchar(254) unique, phone text, birth_date date, postcode varchar(10),
 household_income numeric(12,2), inferred_pregnancy_score double precision, preferred_channel crm.channel, tags text[], attrs jsonb, is_employee boolean default false,
 created_at timestamptz not null default now(), external_ref uuid);
comment on table crm.customers is 'One row per person known to the dealership';
comment on column crm.customers.inferred_pregnancy_score is 'Inferred; never shown to marketing';
create table crm.orders(order_id bigint primary key, customer_id bigint not null references crm.customers, vehicle text, amount numeric(12,2), ordered_at timestamptz not null, status text check (status in ('quote','sold','lost')));
create index orders_customer_idx on crm.orders(customer_id);
create table crm.web_visits(visit_id bigint primary key, customer_id bigint references crm.customers, url text, ip inet, user_agent text, visited_at timestamptz, payload bytea);
create index on crm.web_visits(customer_id, visited_at desc);
create view crm.customer_value as select c.customer_id, c.full_name, c.email, count(o.*) n_orders, sum(o.amount) total from crm.customers c left join crm.orders o using(customer_id) group by 1,2,3;
insert into crm.customers select i,'Person '||i,'p'||i||'@example.test','+1555'||lpad(i::text,7,'0'),date '1950-01-01'+(i%18000),lpad((i%99999)::text,5,'0'),30000+i%90000,i/7.0,(enum_range(null::crm.channel))[1+i%5],array['a','b'],jsonb_build_object('k',i),i%5=0,timestamptz '2025-01-01Z'+(i||' hours')::interval,('00000000-0000-4000-8000-'||lpad(i::text,12,'0'))::uuid from generate_series(1,20)i;
insert into crm.orders(order_id,customer_id,vehicle,amount,ordered_at,status) select i,1+i%20,'Model '||i%7,20000+i%5000,timestamptz '2025-02-01Z'+(i||' minutes')::interval,(array['quote','sold','lost'])[1+i%3] from generate_series(1,40)i;
insert into crm.web_visits(visit_id,customer_id,url,ip,user_agent,visited_at,payload) select i,1+i%20,'/cars/'||i%40,'10.0.0.1','UA',timestamptz '2025-02-01Z'+(i||' seconds')::interval,'\x00ff' from generate_series(1,40)i;
