-- Views over the tables of a Docebo copy in PostgreSQL: dates without the epoch, additional fields under their titles,
-- and the tree of branches. Needs the streams branches, user_fields and course_fields. Run it again after a schema
-- change. The tables are looked for in the first schema of the search path: set search_path to <schema>;
-- A view holds its table: if the destination replaces tables, let it drop them with CASCADE, and run this after a sync.

-- branch_tree: each branch with its parent (null at the top) and the titles on the way to it.
drop view if exists branch_tree;
create view branch_tree as
select branch.id,
       branch.code,
       branch.title,
       branch.lev as level,
       coalesce(
           branch.parent_id,
           (array_agg(above.id order by above.ileft desc) filter (where above.id <> branch.id))[1]) as parent_id,
       coalesce(string_agg(above.title, ' / ' order by above.ileft), branch.title) as path
from branches as branch
left join branches as above on above.ileft <= branch.ileft and above.iright >= branch.iright
group by branch.id, branch.code, branch.title, branch.lev, branch.parent_id;

-- users_view, courses_view, ..: one view for each table, an invalid date as null, field_<id> under its title. A title
-- that is already taken, or longer than a column name may be, gets the field's name behind it.
do $$
declare
    made record;
begin
    for made in
        with title as (
            select 'users' as stream, 'field_' || id as field, trim(title) as title from user_fields
            union all
            select 'course_details', 'field_' || id, trim(name ->> 'value') from course_fields
        ),
        labeled as (
            select c.table_name::text,
                   c.column_name::text,
                   c.ordinal_position,
                   c.data_type,
                   coalesce(nullif(title.title, ''), c.column_name::text) as name
            from information_schema.columns as c
            join information_schema.tables as t using (table_schema, table_name)
            left join title on title.stream = c.table_name and title.field = c.column_name
            where table_schema = current_schema()
              and t.table_type = 'BASE TABLE'
              and not starts_with(c.column_name, '_airbyte')
              and not starts_with(c.table_name, '_airbyte')
        ),
        named as (
            select *,
                   count(*) over (partition by table_name, lower(name)) > 1 or octet_length(name) > 63 as is_taken
            from labeled
        ),
        expression as (
            select table_name,
                   ordinal_position,
                   format(
                       case data_type
                           when 'timestamp with time zone' then 'nullif(%I, timestamptz ''1970-01-01 00:00:00+00'')'
                           when 'timestamp without time zone' then 'nullif(%I, timestamp ''1970-01-01'')'
                           else '%I'
                       end || ' as %I',
                       column_name,
                       case when is_taken and name <> column_name
                            then left(name, 10) || ' (' || column_name || ')' else name end) as expression
            from named
        )
        select table_name || '_view' as name,
               format(
                   'select %s from %I', string_agg(expression, ', ' order by ordinal_position), table_name) as query
        from expression
        group by table_name
    loop
        execute format('drop view if exists %I', made.name);
        execute format('create view %I as %s', made.name, made.query);
    end loop;
end
$$;
