-- Views over the tables of a Docebo copy in DuckDB: dates without the epoch, additional fields under their titles, and
-- the tree of branches. Needs the streams branches, user_fields and course_fields. Run it again after a schema change.
--
-- The last statement prints the CREATE VIEW statements that fit your tables. In a shell, run them at once:
--     duckdb docebo.duckdb -noheader -list < examples/sql/duckdb.sql | duckdb docebo.duckdb

-- branch_tree: each branch with its parent (null at the top) and the titles on the way to it.
create or replace view branch_tree as
select branch.id,
       branch.code,
       branch.title,
       branch.lev as level,
       coalesce(branch.parent_id, arg_max(above.id, above.ileft) filter (above.id <> branch.id)) as parent_id,
       coalesce(string_agg(above.title, ' / ' order by above.ileft), branch.title) as path
from branches as branch
left join branches as above on above.ileft <= branch.ileft and above.iright >= branch.iright
group by branch.id, branch.code, branch.title, branch.lev, branch.parent_id;

-- users_view, courses_view, ..: one view for each table, an invalid date as null, field_<id> under its title. A title
-- that is already taken, or longer than a column name may be, gets the field's name behind it.
with title as (
    select 'users' as stream, 'field_' || id as field, trim(title) as title from user_fields
    union all
    select 'course_details', 'field_' || id, trim(name ->> 'value') from course_fields
),
named as (
    select c.table_name,
           c.column_name,
           c.column_index,
           case when c.data_type = 'TIMESTAMP WITH TIME ZONE' then 'timestamptz ''1970-01-01 00:00:00+00'''
                when c.data_type like 'TIMESTAMP%' then 'timestamp ''1970-01-01''' end as epoch,
           coalesce(nullif(title.title, ''), c.column_name) as name,
           count(*) over (partition by c.table_name, lower(name)) > 1 or strlen(name) > 63 as is_taken
    from duckdb_columns() as c
    join duckdb_tables() as t using (database_name, schema_name, table_name)
    left join title on title.stream = c.table_name and title.field = c.column_name
    where database_name = current_database()
      and schema_name = current_schema()
      and not starts_with(c.column_name, '_airbyte')
      and not starts_with(c.table_name, '_airbyte')
),
expression as (
    select *,
           '"' || replace(column_name, '"', '""') || '"' as quoted,
           if(is_taken and name <> column_name, name[:10] || ' (' || column_name || ')', name) as label
    from named
)
select 'create or replace view "' || table_name || '_view" as select '
       || string_agg(
              coalesce('nullif(' || quoted || ', ' || epoch || ')', quoted)
              || ' as "' || replace(label, '"', '""') || '"',
              ', ' order by column_index)
       || ' from "' || table_name || '";' as statement
from expression
group by table_name
order by table_name;
